/** What holds for every history of measurements. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Observation, Prior } from "../../../../core/vram/costs/cost-book.ts";
import {
  key,
  load,
  memoryStore,
  observeAll,
  openBook,
  PRIOR,
  resident,
  run,
  working,
} from "./book.ts";

const mib = fc.integer({ min: 0, max: 100_000 });
const ms = fc.integer({ min: 0, max: 3_600_000 });
const prior = fc.record<Prior>(
  { residentMiB: mib, workingMiB: mib, loadMs: ms, runMs: ms },
  { requiredKeys: ["residentMiB", "workingMiB"] },
);
const keys = fc.record({
  backend: fc.constantFrom("comfyui", "ollama"),
  model: fc.constantFrom("a", "b"),
  bucket: fc.integer({ min: 0, max: 63 }),
});
const outOfMemory = (of: fc.Arbitrary<ReturnType<typeof key>>): fc.Arbitrary<Observation> =>
  fc.record({
    kind: fc.constant("out_of_memory" as const),
    key: of,
    claimedMiB: fc.integer({ min: 1, max: 100_000 }),
    observedPeakMiB: fc.option(mib, { nil: undefined }),
    during: fc.constantFrom("load", "run", undefined),
  });
const observations = (of: fc.Arbitrary<ReturnType<typeof key>>) =>
  fc.oneof(
    fc.tuple(mib, of).map(([value, at]) => resident(value, at)),
    fc.tuple(mib, of).map(([value, at]) => working(value, at)),
    fc.tuple(ms, of).map(([value, at]) => load(value, at)),
    fc.tuple(ms, of).map(([value, at]) => run(value, at)),
    outOfMemory(of),
  );

describe("an estimate", () => {
  test("lies between the least and the most of evidence and declaration", () => {
    const declared = fc.record({ residentMiB: mib, workingMiB: mib, loadMs: ms, runMs: ms });
    const history = observations(fc.constant(key())).filter(({ kind }) => kind !== "out_of_memory");
    fc.assert(
      fc.property(declared, fc.array(history, { maxLength: 200 }), (prior, seen) => {
        const book = openBook();
        const bounds = {
          resident: [prior.residentMiB],
          working: [prior.workingMiB],
          load: [prior.loadMs],
          run: [prior.runMs],
        };
        for (const observation of seen) {
          book.observe(observation);
          if (observation.kind === "out_of_memory") continue;
          bounds[observation.kind].push("mib" in observation ? observation.mib : observation.ms);
          const estimate = book.estimate(key(), prior);
          const within = (value: number, evidence: readonly number[]) => {
            // Means are sums of fractions.
            expect(value).toBeGreaterThanOrEqual(Math.min(...evidence) - 1e-3);
            expect(value).toBeLessThanOrEqual(Math.max(...evidence) + 1e-3);
          };
          within(estimate.residentMiB, bounds.resident);
          within(estimate.workingMiB, bounds.working);
          within(estimate.loadMs, bounds.load);
          within(estimate.runMs, bounds.run);
        }
      }),
    );
  });

  test("is a whole number of MiB and a sane time, whatever anybody reports or declares", () => {
    const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(1e300, Number.MAX_VALUE));
    const at = fc.record({ bucket: number, backend: fc.string(), model: fc.string() });
    const report = fc.record({
      kind: fc.constantFrom("resident", "working", "load", "run", "out_of_memory"),
      key: at,
      mib: number,
      ms: number,
      claimedMiB: number,
      observedPeakMiB: fc.option(number, { nil: undefined }),
      during: fc.constantFrom("load", "run"),
    }) as fc.Arbitrary<any>;
    const declared = fc.record({
      residentMiB: number,
      workingMiB: number,
      loadMs: number,
      runMs: number,
    });
    fc.assert(
      fc.property(
        fc.array(report, { maxLength: 50 }),
        declared,
        at as any,
        (seen, prior, asked) => {
          const book = openBook({ defaults: { loadMs: () => Number.NaN, runMs: -1 } });
          observeAll(book, seen);
          for (const of of [...seen.map((each) => each.key), asked]) {
            const { residentMiB, workingMiB, loadMs, runMs } = book.estimate(of, prior);
            for (const value of [residentMiB, workingMiB]) {
              expect(Number.isInteger(value) && value >= 0 && value <= 16 * 1024 * 1024).toBe(true);
            }
            for (const value of [loadMs, runMs]) {
              expect(value >= 0 && value <= 7 * 86_400_000).toBe(true);
            }
          }
        },
      ),
    );
  });

  test("does not depend on what was asked before", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(observations(keys), keys, prior), { maxLength: 60 }),
        (turns) => {
          const asked = openBook();
          for (const [index, [observation, of, declared]] of turns.entries()) {
            asked.observe(observation);
            const fresh = openBook();
            observeAll(
              fresh,
              turns.slice(0, index + 1).map(([each]) => each),
            );
            expect(asked.estimate(of, declared)).toEqual(fresh.estimate(of, declared));
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test("of something else does not change with a measurement", () => {
    fc.assert(
      fc.property(fc.array(observations(keys), { maxLength: 60 }), prior, (seen, declared) => {
        const book = openBook();
        const other = key(20, "c");
        const before = book.estimate(other, declared);
        observeAll(book, seen);
        expect(book.estimate(other, declared)).toEqual(before);
      }),
    );
  });
});

describe("run times", () => {
  /** Lognormal with this mean, by Box and Muller, from the seed alone. */
  function lognormal(seed: number, meanMs: number, sigma: number): () => number {
    let state = seed >>> 0;
    const uniform = () => {
      // mulberry32
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
    return () => {
      const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
      return meanMs * Math.exp(sigma * normal - (sigma * sigma) / 2);
    };
  }
  const seeds = fc.integer({ min: 0, max: 2 ** 31 });
  const means = fc.integer({ min: 100, max: 600_000 });

  test("converge to the true mean, however wrong the declaration", () => {
    const sigmas = fc.double({ min: 0, max: 0.5, noNaN: true });
    fc.assert(
      fc.property(seeds, means, sigmas, ms, (seed, meanMs, sigma, declaredMs) => {
        const book = openBook();
        const next = lognormal(seed, meanMs, sigma);
        for (let count = 0; count < 20_000; count++) book.observe(run(next()));
        // What is left of the declaration is 3 of 20,003; the mean of 128 runs differs by 3 %.
        const estimate = book.estimate(key(), { ...PRIOR, runMs: declaredMs });
        const allowed = 0.25 * meanMs + (3 / 20_003) * declaredMs;
        expect(Math.abs(estimate.runMs - meanMs)).toBeLessThan(allowed);
      }),
      { numRuns: 20 },
    );
  });

  test("are right on average with sigma 1 too", () => {
    fc.assert(
      fc.property(seeds, means, (seed, meanMs) => {
        const book = openBook();
        const next = lognormal(seed, meanMs, 1);
        let total = 0;
        for (let count = 0; count < 40_000; count++) {
          book.observe(run(next()));
          total += book.estimate(key(), PRIOR).runMs;
        }
        // The declaration of 4 s wears off over the first hundreds.
        const allowed = 0.06 * meanMs + 0.01 * 4_000;
        expect(Math.abs(total / 40_000 - meanMs)).toBeLessThan(allowed);
      }),
      { numRuns: 8 },
    );
  });

  test("have the quantiles of the last 64, by nearest rank", () => {
    fc.assert(
      fc.property(fc.array(ms, { minLength: 1, maxLength: 200 }), (times) => {
        const book = openBook();
        observeAll(
          book,
          times.map((each) => run(each)),
        );
        const last = times.slice(-64).sort((a, b) => a - b);
        const at = (share: number) =>
          last.length < 5 ? undefined : last[Math.ceil(share * last.length) - 1];
        expect(book.estimate(key(), PRIOR)).toMatchObject({
          runP50Ms: at(0.5),
          runP90Ms: at(0.9),
        });
      }),
    );
  });
});

describe("after the device ran out of memory", () => {
  test("the claim stays at 1.25 times what was seen until sixteen clean runs were measured", () => {
    const history = fc.oneof(
      { weight: 8, arbitrary: observations(fc.constant(key())) },
      { weight: 1, arbitrary: outOfMemory(fc.constant(key())) },
    );
    fc.assert(
      fc.property(prior, fc.array(history, { maxLength: 120 }), (declared, seen) => {
        const book = openBook();
        let floor = 0;
        let clean = 0;
        for (const observation of seen) {
          book.observe(observation);
          if (observation.kind === "working") clean += 1;
          if (clean > 16) floor = 0;
          if (observation.kind === "out_of_memory" && observation.during !== "load") {
            floor = Math.max(floor, 1.25 * (observation.observedPeakMiB ?? observation.claimedMiB));
            clean = 0;
          }
          const { residentMiB, workingMiB } = book.estimate(key(), declared);
          expect(residentMiB + workingMiB).toBeGreaterThanOrEqual(floor);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("a restart", () => {
  test("changes no estimate, and learning goes on as if there had been none", async () => {
    const history = fc.array(observations(keys), { maxLength: 150 });
    await fc.assert(
      fc.asyncProperty(
        history,
        history,
        fc.array(fc.tuple(keys, prior)),
        async (before, after, asked) => {
          const store = memoryStore();
          const first = openBook({ store });
          observeAll(first, before);
          await first.flush();
          const second = openBook({ store });
          const answers = (book: typeof first) =>
            asked.map(([of, declared]) => book.estimate(of, declared));
          expect(answers(second)).toEqual(answers(first));
          expect(second.list()).toEqual(first.list());
          observeAll(first, after);
          observeAll(second, after);
          expect(answers(second)).toEqual(answers(first));
          await Promise.all([first.close(), second.close()]);
        },
      ),
    );
  });
});
