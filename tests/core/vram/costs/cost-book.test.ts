/** What the cost book answers: from declaration to evidence, and who has the last word. */
import { describe, expect, test } from "bun:test";
import type { CostBook, Override, Prior } from "../../../../core/vram/costs/cost-book.ts";
import {
  DEFAULTS,
  key,
  load,
  observeAll,
  openBook,
  PRIOR,
  repeat,
  resident,
  run,
  working,
} from "./book.ts";

const ask = (book: CostBook, bucket = 20, prior: Prior = PRIOR) =>
  book.estimate(key(bucket), prior);

describe("without evidence", () => {
  test("the declaration is the estimate, and quantiles are not guessed", () => {
    expect<unknown>(ask(openBook())).toEqual({
      ...PRIOR,
      runP50Ms: undefined,
      runP90Ms: undefined,
      loadP90Ms: undefined,
      samples: { resident: 0, working: 0, load: 0, run: 0 },
      source: "declared",
    });
  });

  test("times that nobody declared come from the defaults, the load by its size", () => {
    const { loadMs, runMs } = ask(openBook(), 20, { residentMiB: 500, workingMiB: 0 });
    expect([loadMs, runMs]).toEqual([DEFAULTS.loadMs(500), DEFAULTS.runMs]);
  });

  test("a declaration that is nonsense counts as nothing, and none is beyond the limits", () => {
    const prior = { residentMiB: Number.NaN, workingMiB: -1, loadMs: 1e30, runMs: Number.NaN };
    const { residentMiB, workingMiB, loadMs, runMs } = ask(openBook(), 20, prior);
    expect([residentMiB, workingMiB, loadMs, runMs]).toEqual([0, 0, 7 * 86_400_000, 0]);
  });
});

describe("memory", () => {
  test("a reading above the declaration counts at once", () => {
    const book = openBook();
    observeAll(book, [resident(9_500), working(2_600)]);
    expect(ask(book)).toMatchObject({ residentMiB: 9_500, workingMiB: 2_600, source: "learned" });
  });

  test("a lower one replaces the declaration step by step, fully after eight", () => {
    const book = openBook();
    const seen = Array.from({ length: 9 }, () => {
      book.observe(resident(1_000));
      return ask(book).residentMiB;
    });
    expect(seen).toEqual([7_000, 6_000, 5_000, 4_000, 3_000, 2_000, 1_000, 1_000, 1_000]);
  });

  test("the highest of the readings is claimed, not their mean", () => {
    const book = openBook();
    observeAll(book, [...repeat(20, working(1_000)), working(3_000), ...repeat(10, working(900))]);
    expect(ask(book).workingMiB).toBe(3_000);
  });

  test("one odd reading is held for 32 readings, then sinks slowly, and does not stay", () => {
    const book = openBook();
    observeAll(book, [...repeat(10, working(1_000)), working(11_000)]);
    observeAll(book, repeat(31, working(1_000)));
    expect(ask(book).workingMiB).toBe(11_000);
    book.observe(working(1_000));
    expect(ask(book).workingMiB).toBe(10_000);
    observeAll(book, repeat(100, working(1_000)));
    expect(ask(book).workingMiB).toBe(1_000);
  });

  test("the resident part belongs to the model, the working part to the size", () => {
    const book = openBook();
    observeAll(book, [...repeat(8, resident(5_000, key(20))), ...repeat(8, working(700, key(20)))]);
    expect(ask(book, 3)).toMatchObject({ residentMiB: 5_000, workingMiB: 2_000 });
    expect(ask(book, 3).samples).toEqual({ resident: 8, working: 0, load: 0, run: 0 });
  });

  test("backends and models do not learn from each other", () => {
    const book = openBook();
    observeAll(book, [resident(9_999, key(20, "sdxl")), resident(9_999, key(20, "flux", "other"))]);
    expect(ask(book).source).toBe("declared");
  });
});

describe("time", () => {
  test("the declaration counts as three more runs, a default as half of one", () => {
    const book = openBook();
    book.observe(run(8_000));
    expect(ask(book).runMs).toBe((3 * 4_000 + 8_000) / 4);
    const undeclared = { residentMiB: 8_000, workingMiB: 2_000 };
    expect(ask(book, 20, undeclared).runMs).toBe((0.5 * 30_000 + 8_000) / 1.5);
  });

  test("quantiles appear with the fifth run, and each is a time that was measured", () => {
    const book = openBook();
    observeAll(
      book,
      [1_000, 2_000, 3_000, 4_000].map((ms) => run(ms)),
    );
    expect(ask(book).runP50Ms).toBeUndefined();
    book.observe(run(90_000));
    expect(ask(book)).toMatchObject({ runP50Ms: 3_000, runP90Ms: 90_000 });
    observeAll(
      book,
      [10, 20, 30, 40, 50, 60, 70, 80, 90, 100].map((ms) => load(ms)),
    );
    expect(ask(book).loadP90Ms).toBe(90);
  });

  test("quantiles follow the last 64 runs", () => {
    const book = openBook();
    observeAll(book, [...repeat(100, run(1_000)), ...repeat(40, run(7_000))]);
    expect(ask(book)).toMatchObject({ runP50Ms: 7_000, runP90Ms: 7_000 });
    observeAll(book, repeat(64, run(500)));
    expect(ask(book)).toMatchObject({ runP50Ms: 500, runP90Ms: 500 });
  });

  test("a run that hung for days does not decide the mean", () => {
    const book = openBook();
    observeAll(book, [...repeat(50, run(1_000)), run(6 * 86_400_000)]);
    expect(ask(book).runMs).toBeLessThan(1_600);
  });

  test("a lasting change is followed", () => {
    const book = openBook();
    observeAll(book, [...repeat(500, run(1_000)), ...repeat(500, run(40_000))]);
    expect(ask(book).runMs).toBeGreaterThan(38_000);
  });
});

describe("a size not seen before", () => {
  const undeclared = { residentMiB: 8_000, workingMiB: 0 };

  test("borrows run time from the nearest bucket, by two for each doubling", () => {
    const book = openBook();
    observeAll(book, [
      ...repeat(10_000, run(8_000, key(20))),
      ...repeat(10_000, run(1_000, key(15))),
    ]);
    expect(ask(book, 22).runMs).toBeCloseTo(32_000, -2);
    expect(ask(book, 19).runMs).toBeCloseTo(4_000, -2);
    expect(ask(book, 16).runMs).toBeCloseTo(2_000, -2);
    expect(ask(book, 22)).toMatchObject({ runP50Ms: undefined, samples: { run: 0 } });
  });

  test("the smaller of two equally near ones lends", () => {
    const book = openBook();
    observeAll(book, [working(100, key(8)), working(900, key(10))]);
    expect(ask(book, 9, undeclared).workingMiB).toBe(200);
  });

  test("borrows working memory where nothing was declared", () => {
    const book = openBook();
    observeAll(book, repeat(3, working(1_000, key(20))));
    expect(ask(book, 21, undeclared)).toMatchObject({ workingMiB: 2_000, source: "learned" });
    expect(ask(book, 18, undeclared).workingMiB).toBe(250);
  });

  test("borrowed memory never goes below a declaration and at most doubles it", () => {
    const book = openBook();
    book.observe(working(1_500, key(20)));
    expect(ask(book, 19).workingMiB).toBe(2_000);
    expect(ask(book, 21).workingMiB).toBe(3_000);
    expect(ask(book, 24).workingMiB).toBe(4_000);
  });

  test("nothing is borrowed over more than six doublings", () => {
    const book = openBook();
    observeAll(book, [working(64, key(10)), run(64_000, key(10))]);
    expect(ask(book, 16, undeclared).workingMiB).toBe(64 * 64);
    expect(ask(book, 17, undeclared)).toMatchObject({ workingMiB: 0, runMs: DEFAULTS.runMs });
  });

  test("its own first runs are weighed against what it borrowed", () => {
    const book = openBook();
    observeAll(book, [...repeat(10_000, run(8_000, key(20))), run(20_000, key(21))]);
    expect(ask(book, 21).runMs).toBeCloseTo((3 * 16_000 + 20_000) / 4, -2);
  });
});

describe("out of memory", () => {
  const claim = (book: CostBook, bucket = 20) => {
    const { residentMiB, workingMiB } = ask(book, bucket);
    return residentMiB + workingMiB;
  };
  const out = (claimedMiB: number, observedPeakMiB?: number, during?: "load" | "run") =>
    ({ kind: "out_of_memory", key: key(), claimedMiB, observedPeakMiB, during }) as const;

  test("raises the claim to 1.25 times the observed peak", () => {
    const book = openBook();
    book.observe(out(10_000, 12_000));
    expect(ask(book)).toMatchObject({ residentMiB: 8_000, workingMiB: 7_000, source: "learned" });
  });

  test("or of what was claimed, when nobody saw the peak", () => {
    const book = openBook();
    book.observe(out(10_000));
    expect(claim(book)).toBe(12_500);
    book.observe(out(12_500));
    expect(claim(book)).toBe(15_625);
  });

  test("never lowers the claim that has just failed", () => {
    const book = openBook();
    book.observe(out(12_000, 3_000));
    expect(claim(book)).toBe(12_000);
  });

  test("in a load raises the resident part, for every size", () => {
    const book = openBook();
    book.observe(out(8_000, 9_000, "load"));
    expect(ask(book, 3)).toMatchObject({ residentMiB: 11_250, workingMiB: 2_000 });
    observeAll(book, repeat(100, resident(8_500)));
    expect(ask(book).residentMiB).toBe(8_500);
  });

  test("counts both parts: a larger resident part leaves less to add", () => {
    const book = openBook();
    observeAll(book, [out(10_000, 12_000), resident(11_000)]);
    expect(ask(book)).toMatchObject({ residentMiB: 11_000, workingMiB: 4_000 });
  });

  test("is held for sixteen measured runs, then sinks to what they need", () => {
    const book = openBook();
    observeAll(book, repeat(8, resident(8_000)));
    book.observe(out(10_000, 12_000));
    observeAll(book, repeat(16, working(1_000)));
    expect(claim(book)).toBe(15_000);
    book.observe(working(1_000));
    expect(claim(book)).toBe(14_400);
    observeAll(book, repeat(100, working(1_000)));
    expect(claim(book)).toBe(9_000);
    expect(book.list()[0]?.outOfMemoryFloorMiB).toBeUndefined();
  });

  test("runs without a measured peak do not lower it", () => {
    const book = openBook();
    observeAll(book, [
      out(10_000, 12_000),
      ...repeat(200, run(1_000)),
      ...repeat(200, load(1_000)),
    ]);
    expect(claim(book)).toBe(15_000);
  });

  test("another one starts the count again", () => {
    const book = openBook();
    observeAll(book, [out(10_000), ...repeat(15, working(1_000)), out(12_500)]);
    observeAll(book, repeat(16, working(1_000)));
    expect(claim(book)).toBe(15_625);
  });

  test("lends to a larger size that is not known yet", () => {
    const book = openBook();
    book.observe(out(10_000, 8_800));
    expect(ask(book, 21).workingMiB).toBe(4_000);
    expect(ask(book, 21, { residentMiB: 8_000, workingMiB: 0 }).workingMiB).toBe(6_000);
  });
});

describe("the operator", () => {
  test("has the last word, and the rest is still learned", () => {
    let override: Override | undefined = { residentMiB: 6_000, runMs: 777 };
    const book = openBook({ overrides: () => override });
    observeAll(book, [
      ...repeat(20, resident(9_000)),
      ...repeat(20, working(100)),
      ...repeat(20, run(5_000)),
      { kind: "out_of_memory", key: key(), claimedMiB: 9_000, during: "load" },
    ]);
    expect(ask(book)).toMatchObject({ residentMiB: 6_000, workingMiB: 100, runMs: 777 });
    expect(ask(book)).toMatchObject({ source: "operator", runP50Ms: 5_000 });
    override = { workingMiB: 50, loadMs: 1 };
    expect(ask(book)).toMatchObject({ residentMiB: 11_250, workingMiB: 50, loadMs: 1 });
    override = undefined;
    expect(ask(book)).toMatchObject({ residentMiB: 11_250, workingMiB: 100, source: "learned" });
  });

  test("also rules over what nobody has measured", () => {
    const book = openBook({ overrides: (backend) => (backend === "comfyui" ? { loadMs: 5 } : {}) });
    expect(ask(book)).toMatchObject({ loadMs: 5, source: "declared" });
  });
});

describe("asking often", () => {
  test("gives the same answer, unmade, until something changes", () => {
    const book = openBook();
    book.observe(run(1_000));
    const before = ask(book);
    const { version } = book;
    expect(ask(book, 20, { ...PRIOR })).toBe(before);
    expect(ask(book, 20, { ...PRIOR, runMs: 1 })).not.toEqual(before);
    book.observe(run(1_000, key(20, "sdxl")));
    expect(book.version).toBeGreaterThan(version);
    book.observe(run(2_000, key(21)));
    book.observe(run(2_000));
    expect(ask(book)).not.toEqual(before);
  });

  test("does not make an unknown key known", () => {
    const book = openBook();
    ask(book);
    expect(book.list()).toEqual([]);
    expect(book.version).toBe(0);
  });
});

describe("the table", () => {
  test("drops nonsense", () => {
    const book = openBook();
    for (const value of [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e30]) {
      observeAll(book, [resident(value), working(value), load(value), run(value)]);
      book.observe({ kind: "out_of_memory", key: key(), claimedMiB: value });
      book.observe({ kind: "out_of_memory", key: key(), claimedMiB: 1, observedPeakMiB: value });
    }
    book.observe({ kind: "out_of_memory", key: key(), claimedMiB: 0 });
    book.observe(run(1, key(20, "m".repeat(2_000))));
    expect(book.list()).toEqual([]);
    expect(book.version).toBe(0);
  });

  test("lists what was measured and nothing that was not", () => {
    const book = openBook();
    observeAll(book, [run(1_000, key(21)), resident(5_000, key(0, "a")), load(50, key(0, "a"))]);
    expect(book.list()).toEqual([
      {
        ...key(0, "a"),
        residentMiB: 5_000,
        loadMs: 50,
        samples: { resident: 1, working: 0, load: 1, run: 0 },
        updatedAtMs: expect.any(Number),
      },
      {
        ...key(21),
        runMs: 1_000,
        samples: { resident: 0, working: 0, load: 0, run: 1 },
        updatedAtMs: expect.any(Number),
      },
    ]);
  });

  test("forgets a model, a backend, or everything", () => {
    const book = openBook();
    const names = () => book.list().map(({ backend, model }) => `${backend}/${model}`);
    const fill = () =>
      observeAll(book, [
        run(1, key(1, "a", "x")),
        run(1, key(1, "b", "x")),
        run(1, key(1, "a", "y")),
      ]);
    fill();
    book.forget({ backend: "x", model: "a" });
    expect(names()).toEqual(["x/b", "y/a"]);
    fill();
    book.forget({ model: "a" });
    expect(names()).toEqual(["x/b"]);
    fill();
    book.forget({ backend: "x" });
    expect(names()).toEqual(["y/a"]);
    const { version } = book;
    book.forget();
    expect(names()).toEqual([]);
    expect(book.version).toBeGreaterThan(version);
    expect(ask(book).source).toBe("declared");
  });

  test("holds 4,096 keys; the one used longest ago leaves, and asking is a use", () => {
    const book = openBook();
    for (let index = 0; index < 4_096; index++) book.observe(run(1, key(1, `m${index}`)));
    book.estimate(key(1, "m0"), PRIOR);
    observeAll(book, [run(1, key(1, "new")), run(1, key(2, "new"))]);
    expect(book.list()).toHaveLength(4_096);
    const models = new Set(book.list().map(({ model }) => model));
    const left = ["m0", "m1", "m2", "m3"].filter((model) => !models.has(model));
    expect(left).toEqual(["m1", "m2"]);
  });

  test("holds no more and no less after some were forgotten and others left", () => {
    const book = openBook();
    const fill = (name: string, count: number) => {
      for (let index = 0; index < count; index++)
        book.observe(run(1, key(index % 2, name + (index >> 1))));
    };
    fill("a", 3_000);
    book.forget();
    fill("b", 4_095);
    book.observe(run(1, key(1, "a")));
    expect(book.list()).toHaveLength(4_096);
    fill("c", 50);
    expect(book.list()).toHaveLength(4_096);
    book.forget({ model: "b2000" });
    expect(book.list()).toHaveLength(4_094);
    fill("d", 2);
    expect(book.list()).toHaveLength(4_096);
  });

  test("what has left is not remembered in answers either", () => {
    const book = openBook();
    observeAll(book, [run(1_000, key(1)), run(1_000, key(50))]);
    expect(ask(book, 1).samples.run).toBe(1);
    for (let index = 0; index < 4_095; index++) {
      ask(book, 50);
      book.observe(run(1, key(1, `m${index}`)));
    }
    expect([ask(book, 1).samples.run, ask(book, 50).samples.run]).toEqual([0, 1]);
  });
});
