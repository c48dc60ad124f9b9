/** Verbs that lie: when they are demoted, what that means, and how it ends. */
import { describe, expect, test } from "bun:test";
import {
  createReclaiming,
  createWorld,
  fails,
  hangs,
  leaves,
  nothing,
  type Reclaiming,
  type Verbs,
  type World,
} from "./reclaim-world.ts";

const HALF_HOUR_MS = 30 * 60_000;

/** Fills the world again, reclaims, and says what was tried. */
async function again(reclaiming: Reclaiming, world: World): Promise<string[]> {
  world.held.set("a", 8_000);
  world.running = true;
  const { attempts } = await reclaiming.reclaim(world);
  return attempts.map(({ verb }) => verb);
}

/** `free` does what the test last said. */
function changeable(verbs: Verbs = { process: true }) {
  const does: { free: NonNullable<Verbs["free"]> } = { free: nothing };
  const world = createWorld({ ...verbs, free: (...all) => does.free(...all) });
  return { world, does, reclaiming: createReclaiming([world]) };
}

describe("a verb that lies", () => {
  test("is tried first after one lie, and not at all where another verb works after two", async () => {
    const { world, reclaiming } = changeable();
    const { reclaimer } = reclaiming;
    expect(reclaimer.verbs(world.backend)).toEqual(["free", "restart", "stop"]);
    expect(await again(reclaiming, world)).toEqual(["free", "stop"]);
    expect(reclaimer.demotions()).toEqual([]);
    expect(await again(reclaiming, world)).toEqual(["free", "stop"]);
    expect(reclaimer.verbs(world.backend)).toEqual(["restart", "stop"]);
    expect(reclaimer.demotions()).toEqual([
      {
        backend: "images",
        verb: "free",
        sinceMs: expect.any(Number),
        reason: "free settled 2 times in a row, but the probe saw 0 of 8000 MiB leave",
      },
    ]);
    expect(reclaiming.warnings.filter((it) => it === "a verb is demoted")).toHaveLength(1);
    expect(await again(reclaiming, world)).toEqual(["stop"]);
  });

  test("that is seen to work in between starts anew", async () => {
    const { world, does, reclaiming } = changeable();
    for (const free of [nothing, leaves, nothing, leaves, nothing]) {
      does.free = free;
      await again(reclaiming, world);
    }
    expect(reclaiming.reclaimer.demotions()).toEqual([]);
  });

  test("is the last one tried when the others do not help, and may prove itself", async () => {
    const { world, does, reclaiming } = changeable({ stop: fails });
    await again(reclaiming, world);
    await again(reclaiming, world);
    expect(await again(reclaiming, world)).toEqual(["stop", "free"]);
    does.free = leaves;
    expect(await again(reclaiming, world)).toEqual(["stop", "free"]);
    expect(reclaiming.reclaimer.demotions()).toEqual([]);
    expect(await again(reclaiming, world)).toEqual(["free"]);
  });

  test("is still tried when it is the only one, though the backend counts as unable", async () => {
    const { world, does, reclaiming } = changeable({});
    await again(reclaiming, world);
    await again(reclaiming, world);
    expect(reclaiming.reclaimer.verbs(world.backend)).toEqual([]);
    does.free = leaves;
    expect(await again(reclaiming, world)).toEqual(["free"]);
    expect(reclaiming.reclaimer.verbs(world.backend)).toEqual(["free"]);
  });

  test("is first again after half an hour without a lie, and then has two lies again", async () => {
    const { world, reclaiming } = changeable({});
    const { clock, reclaimer } = reclaiming;
    await again(reclaiming, world);
    await again(reclaiming, world);
    clock.forward(HALF_HOUR_MS - 60_000);
    expect(reclaimer.demotions()).toHaveLength(1);
    await again(reclaiming, world);
    clock.forward(HALF_HOUR_MS - 60_000);
    expect(reclaimer.demotions()).toHaveLength(1);
    clock.forward(60_000);
    expect(reclaimer.demotions()).toEqual([]);
    await again(reclaiming, world);
    expect(reclaimer.demotions()).toEqual([]);
    await again(reclaiming, world);
    expect(reclaimer.demotions()).toHaveLength(1);
  });

  test("makes no liar of the same verb of another backend, or of another verb", async () => {
    const { world, reclaiming } = changeable();
    const other = createWorld({ free: nothing }, { name: "texts" });
    await again(reclaiming, world);
    await again(reclaiming, world);
    expect(reclaiming.reclaimer.verbs(other.backend)).toEqual(["free"]);
    expect(reclaiming.reclaimer.verbs(world.backend)).toEqual(["restart", "stop"]);
  });

  test("that is a stop makes room for a restart", async () => {
    const world = createWorld({ stop: nothing });
    const reclaiming = createReclaiming([world]);
    expect(await again(reclaiming, world)).toEqual(["stop"]);
    expect(await again(reclaiming, world)).toEqual(["stop"]);
    expect(await again(reclaiming, world)).toEqual(["restart"]);
  });

  test("is found out without a probe when the backend still lists the model", async () => {
    const { world, reclaiming } = changeable({ residents: ({ held }) => [...held.keys()] });
    world.sight = "none";
    await again(reclaiming, world);
    await again(reclaiming, world);
    const [demotion] = reclaiming.reclaimer.demotions();
    expect(demotion?.reason).toEndWith("the backend still lists what should have left");
  });
});

describe("no lie is", () => {
  test.each<[string, NonNullable<Verbs["free"]>]>([
    ["a verb that fails", fails],
    ["a verb that never settles", hangs],
  ])("%s", async (_case, free) => {
    const world = createWorld({ free, process: true });
    const reclaiming = createReclaiming([world], { freeMs: 10 });
    for (let i = 0; i < 4; i++) expect(await again(reclaiming, world)).toEqual(["free", "stop"]);
    expect(reclaiming.reclaimer.demotions()).toEqual([]);
  });

  test("a verb whose backend does not say what it holds, where nothing is measured", async () => {
    const { world, reclaiming } = changeable({ residents: fails });
    world.sight = "none";
    for (let i = 0; i < 3; i++) await again(reclaiming, world);
    expect(reclaiming.reclaimer.demotions()).toEqual([]);
  });

  test("a failure between two lies, which are then still in a row", async () => {
    const { world, does, reclaiming } = changeable();
    for (const free of [nothing, fails, nothing]) {
      does.free = free;
      await again(reclaiming, world);
    }
    expect(reclaiming.reclaimer.demotions()).toHaveLength(1);
  });

  test("a reclaim that was called off while the memory was waited for", async () => {
    const { world } = changeable();
    const abort = new AbortController();
    const { reclaim, reclaimer } = createReclaiming([world], { watchMs: 60_000, lies: 1 });
    const ending = reclaim(world, { signal: abort.signal });
    setTimeout(() => abort.abort(new Error("stopping")), 20);
    expect(await ending).toMatchObject({ freed: false, attempts: [{ believed: false }] });
    expect(reclaimer.demotions()).toEqual([]);
    expect(world.calls).toEqual(["free a"]);
  });
});
