/** Verbs whose effect the probe cannot see: no probe, or too little to tell. */
import { describe, expect, test } from "bun:test";
import {
  createReclaiming,
  createWorld,
  fails,
  hangs,
  leaves,
  nothing,
  usageOf,
  type Verbs,
  type World,
} from "./reclaim-world.ts";

const reclaimOnce = (world: World) => createReclaiming([world]).reclaim(world);
const namesOf = (result: { attempts: readonly { verb: string }[] }) =>
  result.attempts.map(({ verb }) => verb);

describe("where nothing is measured", () => {
  const listed = ({ held }: World) => [...held.keys()];
  test.each<[string, Verbs, string[], boolean]>([
    [
      "the backend lists nothing more: believed",
      { free: leaves, residents: listed },
      ["free"],
      true,
    ],
    [
      "the backend still lists it: the next verb",
      { free: nothing, residents: listed, process: true },
      ["free", "stop"],
      true,
    ],
    [
      "the backend still lists it: not freed",
      { free: nothing, residents: listed },
      ["free"],
      false,
    ],
    ["the backend does not answer: not freed", { free: leaves, residents: fails }, ["free"], false],
    ["the backend cannot list: taken at its word", { free: nothing }, ["free"], true],
    ["a stopped process is gone", { process: true }, ["stop"], true],
    ["a process that still runs is not", { stop: nothing }, ["stop"], false],
  ])("%s", async (_case, verbs, order, freed) => {
    const world = createWorld(verbs, { sight: "none" });
    const result = await reclaimOnce(world);
    expect(namesOf(result)).toEqual(order);
    expect(result).toMatchObject({ freed, actualMiB: null });
    for (const { actualMiB } of result.attempts) expect(actualMiB).toBeNull();
  });

  test.each([
    ["fails", fails],
    ["never answers", hangs],
  ])("a probe that %s is none", async (_case, usage) => {
    const world = createWorld({ free: leaves, residents: listed });
    const { reclaim } = createReclaiming([world], { measureMs: 20 }, usage);
    expect(await reclaim(world)).toMatchObject({ freed: true, actualMiB: null });
  });

  test("a probe that falls silent on the way convicts nobody", async () => {
    const world = createWorld({ free: leaves, residents: listed });
    const { reclaim, reclaimer } = createReclaiming([world], { lies: 1 }, (_it, looks) =>
      looks < 2 ? { deviceMiB: 9_300 } : fails(),
    );
    expect((await reclaim(world)).freed).toBe(true);
    expect(reclaimer.demotions()).toEqual([]);
  });
});

describe("sizes within the noise of a probe", () => {
  const residents = ({ held }: World) => [...held.keys()];
  test.each<[string, Verbs, boolean]>([
    ["are gone when the backend no longer lists them", { free: leaves, residents }, true],
    ["are not while the backend lists them", { free: nothing, residents }, false],
    ["are gone at the verb's word when nobody can tell", { free: nothing }, true],
  ])("%s, whatever the device does", async (_case, verbs, freed) => {
    const world = createWorld(verbs, { models: { a: 63 }, sight: "device" });
    const { reclaim } = createReclaiming([world], {}, (it, looks) => {
      it.othersMiB = looks % 2 === 0 ? 5_000 : 3_000;
      return usageOf(it);
    });
    const result = await reclaim(world);
    expect(result.freed).toBe(freed);
    expect(result.attempts[0]?.expectedMiB).toBe(63);
  });

  test("64 MiB are measured", async () => {
    const world = createWorld({ free: nothing }, { models: { a: 64 } });
    expect((await reclaimOnce(world)).freed).toBe(false);
  });
});
