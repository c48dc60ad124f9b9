/** The reclaim ladder: what is tried in which order, and what is believed. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  createReclaiming,
  createWorld,
  everythingLeaves,
  fails,
  hangs,
  leaves,
  nothing,
  shrinks,
  usageOf,
  type Verbs,
  type World,
} from "./reclaim-world.ts";

const reclaimOnce = (world: World) => createReclaiming([world]).reclaim(world);
const namesOf = (result: { attempts: readonly { verb: string }[] }) =>
  result.attempts.map(({ verb }) => verb);

describe("a verb is believed when the probe sees the memory leave", () => {
  test("an honest free is the only attempt, with what was expected and what was seen", async () => {
    const world = createWorld({ free: leaves, process: true });
    const result = await reclaimOnce(world);
    expect(result).toEqual({
      backend: "images",
      device: "gpu0",
      models: ["a"],
      freed: true,
      expectedMiB: 8_000,
      actualMiB: 8_000,
      attempts: [
        {
          verb: "free",
          expectedMiB: 8_000,
          actualMiB: 8_000,
          durationMs: expect.any(Number),
          believed: true,
        },
      ],
    });
    expect(world.calls).toEqual(["free a"]);
  });

  test("memory that comes back some looks after the verb has settled is waited for", async () => {
    const world = createWorld({ free: nothing, process: true });
    const { reclaim } = createReclaiming([world], { watchMs: 5_000 }, (it, looks) => {
      if (looks === 6) it.held.clear();
      return usageOf(it);
    });
    const result = await reclaim(world);
    expect(result.freed).toBe(true);
    expect(world.calls).toEqual(["free a"]);
  });

  for (const sight of ["own", "device"] as const) {
    test.each([
      [0, true],
      [0.25, true],
      [0.26, false],
      [0.5, false],
      [1, false],
      [1.2, false],
    ])(`of what is measured (${sight}), when %p of it stays: %p`, async (part, freed) => {
      const world = createWorld({ free: shrinks(part) }, { sight });
      const result = await reclaimOnce(world);
      expect(result.freed).toBe(freed);
      expect(result.actualMiB).toBe(Math.round(8_000 * (1 - part)));
    });
  }

  test("an estimate that is too high makes no liar: no verb frees more than there was", async () => {
    const world = createWorld({ free: leaves });
    const believed = [{ model: "a", residentMiB: 20_000 }];
    const { reclaim } = createReclaiming([world]);
    const result = await reclaim(world, { models: believed, allModels: believed });
    expect(result).toMatchObject({ freed: true, expectedMiB: 20_000, actualMiB: 8_000 });
  });

  test("of several models each is told, and together they have to leave", async () => {
    const world = createWorld({ free: leaves }, { models: { a: 4_000, b: 3_000, c: 5_000 } });
    const { reclaim } = createReclaiming([world]);
    const models = [
      { model: "a", residentMiB: 4_000 },
      { model: "b", residentMiB: 3_000 },
    ];
    const result = await reclaim(world, { models });
    expect(result).toMatchObject({ freed: true, models: ["a", "b"], expectedMiB: 7_000 });
    expect(world.calls).toEqual(["free a", "free b"]);
    expect([...world.held.keys()]).toEqual(["c"]);
  });

  test("a server that frees everything is told once, and everything counts", async () => {
    const models = { a: 4_000, b: 3_000 };
    const world = createWorld({ free: everythingLeaves }, { models, frees: "everything" });
    const { reclaim } = createReclaiming([world]);
    const result = await reclaim(world, { models: [{ model: "b", residentMiB: 3_000 }] });
    expect(result).toMatchObject({ freed: true, models: ["b", "a"], expectedMiB: 7_000 });
    expect(world.calls).toEqual(["free b"]);
  });

  test.each<[string, Verbs, string[]]>([
    ["is told again, and nothing has to fall", { free: nothing }, ["free"]],
    ["is gone when the backend says so", { free: nothing, residents: () => [] }, ["free"]],
    ["is not when it says otherwise", { free: nothing, residents: () => ["a"] }, ["free", "stop"]],
  ])("a model that had left by itself %s", async (_case, verbs, order) => {
    const world = createWorld({ ...verbs, process: true });
    const { reclaim, reclaimer } = createReclaiming([world]);
    world.held.clear();
    world.contextMiB = 2_000;
    const result = await reclaim(world);
    expect(namesOf(result)).toEqual(order);
    expect(result).toMatchObject({ freed: true, expectedMiB: 8_000 });
    expect(result.attempts[0]).toMatchObject({ actualMiB: 0 });
    expect(reclaimer.demotions()).toEqual([]);
  });

  test("a model that is no longer listed, but whose memory is still used, is not gone", async () => {
    const world = createWorld({ free: nothing, residents: () => [], process: true });
    const result = await reclaimOnce(world);
    expect(namesOf(result)).toEqual(["free", "stop"]);
    expect(result.attempts[0]).toMatchObject({ believed: false, actualMiB: 0 });
  });

  test("of a whole device others may take the room and give it back: one more look", async () => {
    const free = (world: World, model: string) => {
      leaves(world, model);
      world.othersMiB += 8_000;
    };
    const world = createWorld({ free }, { sight: "device" });
    const { reclaim, reclaimer } = createReclaiming(
      [world],
      { watchMs: 0, lies: 1 },
      (it, looks) => {
        // The first look is before the verb, the second after it, the third is the one more.
        if (looks === 2) it.othersMiB -= 8_000;
        return usageOf(it);
      },
    );
    expect(await reclaim(world)).toMatchObject({ freed: true, actualMiB: 8_000 });
    expect(reclaimer.demotions()).toEqual([]);
  });
});

describe("the next verb", () => {
  test.each<[string, Verbs, boolean | undefined, string[], boolean]>([
    [
      "free lies, nobody needs the process",
      { free: nothing, process: true },
      undefined,
      ["free", "stop"],
      true,
    ],
    [
      "free lies, the process is needed",
      { free: nothing, process: true },
      true,
      ["free", "restart"],
      true,
    ],
    ["free fails", { free: fails, process: true }, undefined, ["free", "stop"], true],
    ["free never settles", { free: hangs, process: true }, undefined, ["free", "stop"], true],
    ["the server comes up with its model", { restart: nothing }, true, ["restart", "stop"], true],
    [
      "nothing helps",
      { free: nothing, restart: nothing, stop: nothing },
      true,
      ["free", "restart", "stop"],
      false,
    ],
    [
      "everything fails",
      { free: fails, restart: fails, stop: fails },
      true,
      ["free", "restart", "stop"],
      false,
    ],
    [
      "everything hangs",
      { free: hangs, restart: hangs, stop: hangs },
      true,
      ["free", "restart", "stop"],
      false,
    ],
    ["there is only free", { free: nothing }, true, ["free"], false],
    ["there is only the process", { process: true }, undefined, ["stop"], true],
    ["there is no verb", {}, undefined, [], false],
  ])("%s", async (_case, verbs, needed, order, freed) => {
    const world = createWorld(verbs);
    const { reclaim } = createReclaiming([world], { freeMs: 20, processMs: 20 });
    const result = await reclaim(world, needed === undefined ? {} : { needed });
    expect(namesOf(result)).toEqual(order);
    expect(result.freed).toBe(freed);
    expect(result.attempts.map(({ believed }) => believed)).toEqual(
      order.map((_, index) => freed && index === order.length - 1),
    );
  });

  test("a process that holds other models is needed: it is restarted, not stopped", async () => {
    const world = createWorld({ free: nothing, process: true }, { models: { a: 4_000, b: 3_000 } });
    const { reclaim } = createReclaiming([world]);
    const result = await reclaim(world, { models: [{ model: "a", residentMiB: 4_000 }] });
    expect(namesOf(result)).toEqual(["free", "restart"]);
    expect(result.models).toEqual(["a", "b"]);
  });

  test("what an earlier verb has freed counts for the next one", async () => {
    const world = createWorld({ free: shrinks(0.4), process: true }, { sight: "device" });
    const result = await reclaimOnce(world);
    expect(result).toMatchObject({
      freed: true,
      actualMiB: 8_300,
      attempts: [
        { verb: "free", expectedMiB: 8_000, actualMiB: 4_800, believed: false },
        { verb: "stop", expectedMiB: 3_200, actualMiB: 3_500, believed: true },
      ],
    });
  });

  test("a verb that fails although the memory leaves is not followed by another", async () => {
    const free = (world: World, model: string) => {
      leaves(world, model);
      fails();
    };
    const world = createWorld({ free, process: true });
    const result = await reclaimOnce(world);
    expect(result.freed).toBe(true);
    expect(result.attempts).toMatchObject([
      { verb: "free", error: "connection refused", believed: true },
    ]);
  });

  test("when one of several models cannot be told to leave, the others are told", async () => {
    const free = (world: World, model: string) => (model === "a" ? fails() : leaves(world, model));
    const world = createWorld({ free }, { models: { a: 4_000, b: 4_000 } });
    expect((await reclaimOnce(world)).freed).toBe(false);
    expect(world.calls).toEqual(["free a", "free b"]);
  });

  test("a verb gets a signal that fires at its time limit, and its error says so", async () => {
    let reason: unknown;
    const free = (_world: World, _model: string, signal: AbortSignal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
          reject(signal.reason);
        });
      });
    const world = createWorld({ free });
    const { reclaim } = createReclaiming([world], { freeMs: 20 });
    const result = await reclaim(world);
    expect(reason).toBeInstanceOf(Error);
    expect(result.attempts[0]?.error).toBe("it did not settle within 20 ms");
  });

  test("after a stop the processes may be unknown: then the device tells", async () => {
    const world = createWorld({ process: true });
    const { reclaim } = createReclaiming([world], {}, (it) => {
      const usage = usageOf(it);
      return it.running ? usage : { deviceMiB: usage?.deviceMiB };
    });
    expect(await reclaim(world)).toMatchObject({ freed: true, actualMiB: 8_300 });
  });

  test("a server that comes up with its model in unknown processes has freed nothing", async () => {
    const world = createWorld({ restart: nothing, stop: nothing });
    const { reclaim } = createReclaiming([world], {}, (it) => {
      const usage = usageOf(it);
      return it.calls.length === 0 ? usage : { deviceMiB: usage?.deviceMiB };
    });
    const result = await reclaim(world, { needed: true });
    expect(result).toMatchObject({ freed: false, actualMiB: 0 });
  });

  test("a process that has ended, and that nobody answers for, needs no verb", async () => {
    const world = createWorld({ free: fails, process: true }, { sight: "device" });
    world.running = false;
    expect(await reclaimOnce(world)).toMatchObject({ freed: true, models: ["a"], attempts: [] });
    expect(world.calls).toEqual([]);
  });

  test("a process that does not run is not restarted to free its memory", async () => {
    const free = (world: World) => {
      world.running = false;
      fails();
    };
    const world = createWorld({ free, process: true });
    const { reclaim } = createReclaiming([world]);
    expect(namesOf(await reclaim(world, { needed: true }))).toEqual(["free", "stop"]);
  });

  test("nothing to leave is nothing to do", async () => {
    const world = createWorld({ free: fails });
    const { reclaim } = createReclaiming([world]);
    expect(await reclaim(world, { models: [] })).toMatchObject({ freed: true, attempts: [] });
    expect(world.calls).toEqual([]);
  });
});

test("in any world it settles, tries each verb once, and believes only what has left", async () => {
  const part = fc.constantFrom(0, 0.1, 0.25, 0.5, 0.9, 1);
  const verb = fc.record({ part, throws: fc.boolean() });
  const world = fc.record({
    free: fc.option(verb),
    restart: verb,
    stop: verb,
    process: fc.boolean(),
    needed: fc.boolean(),
    sight: fc.constantFrom("own", "device") as fc.Arbitrary<"own" | "device">,
    models: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.integer({ min: 64, max: 20_000 }), {
      minKeys: 1,
    }),
    frees: fc.constantFrom("model", "everything") as fc.Arbitrary<"model" | "everything">,
  });
  const does = (it: { part: number; throws: boolean }) => (target: World) => {
    shrinks(it.part)(target);
    if (it.throws) fails();
  };
  await fc.assert(
    fc.asyncProperty(world, async ({ free, restart, stop, needed, sight, models, ...more }) => {
      const verbs: Verbs = {
        ...(free ? { free: does({ ...free, part: 1 }) } : {}),
        restart: does(restart),
        stop: does(stop),
        process: more.process,
      };
      const target = createWorld(verbs, { models, sight, frees: more.frees });
      const before = sizeOf(target);
      const { reclaim } = createReclaiming([target], { watchMs: 2, againMs: 1, lookMs: 1 });
      const result = await reclaim(target, { needed });
      const tried = namesOf(result);
      expect(new Set(tried).size).toBe(tried.length);
      const left = (before - sizeOf(target)) / before;
      expect(result.freed).toBe(tried.length > 0 && left >= 0.75);
      expect(result.attempts.filter(({ believed }) => believed)).toHaveLength(result.freed ? 1 : 0);
      expect(Math.abs((result.actualMiB ?? 0) - before + sizeOf(target))).toBeLessThan(1);
    }),
    { numRuns: 150 },
  );
});

function sizeOf({ held }: World): number {
  return [...held.values()].reduce((sum, mib) => sum + mib, 0);
}
