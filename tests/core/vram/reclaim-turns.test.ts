/** Reclaims at the same time, and reclaims that are called off. */
import { describe, expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { eventually } from "../../gateway.ts";
import {
  createReclaiming,
  createWorld,
  fails,
  hangs,
  leaves,
  nothing,
  type World,
} from "./reclaim-world.ts";

/** A `free` that waits until the test opens it. */
function gate() {
  const opened = Promise.withResolvers<void>();
  return {
    open: () => opened.resolve(),
    free: async (world: World, model: string) => {
      await opened.promise;
      leaves(world, model);
    },
  };
}

const called = (world: World, count: number) =>
  eventually(`${count} calls`, () => world.calls.length >= count);

describe("reclaims at the same time", () => {
  test("of one backend go one after the other, so that each is judged by its own memory", async () => {
    const gateA = gate();
    const world = createWorld(
      { free: (it, model) => (model === "a" ? gateA.free(it, model) : nothing()) },
      { models: { a: 4_000, b: 4_000 } },
    );
    const { reclaim } = createReclaiming([world], { freeMs: 30_000 });
    const a = reclaim(world, { models: [{ model: "a", residentMiB: 4_000 }] });
    const b = reclaim(world, { models: [{ model: "b", residentMiB: 4_000 }] });
    await called(world, 1);
    gateA.open();
    expect((await a).freed).toBe(true);
    expect((await b).freed).toBe(false);
    expect(world.calls).toEqual(["free a", "free b"]);
  });

  test("of two backends whose processes are told apart go side by side", async () => {
    const gates = [gate(), gate()];
    const worlds = gates.map(({ free }, index) => createWorld({ free }, { name: `it-${index}` }));
    const { reclaim } = createReclaiming(worlds, { freeMs: 30_000 });
    const both = worlds.map((world) => reclaim(world));
    for (const world of worlds) await called(world, 1);
    for (const { open } of gates) open();
    for (const result of await Promise.all(both)) expect(result.freed).toBe(true);
  });

  test("of two backends on a device that is measured as a whole go in turn", async () => {
    const honest = gate();
    const first = createWorld({ free: honest.free }, { name: "first", sight: "device" });
    const liar = createWorld({ free: nothing }, { name: "liar", sight: "device" });
    let liarLooks = 0;
    const { reclaim } = createReclaiming([first, liar], { freeMs: 30_000 }, (world) => {
      if (world === liar) liarLooks++;
      const held = [first, liar].flatMap(({ held }) => [...held.values()]);
      return { deviceMiB: held.reduce((sum, it) => sum + it, 0) };
    });
    const a = reclaim(first);
    await called(first, 1);
    const b = reclaim(liar);
    await eventually("the liar is measured before the first has left", () => liarLooks > 0);
    // Once more round the loop, so that it would go on if nothing held it back.
    await new Promise((resolve) => setImmediate(resolve));
    honest.open();
    expect((await a).freed).toBe(true);
    // What the first one freed is not the liar's.
    expect((await b).freed).toBe(false);
  });
});

describe("a reclaim that is called off", () => {
  const stopping = new Error("stopping");

  test("does nothing when that was before it began", async () => {
    const world = createWorld({ free: leaves, process: true });
    const { reclaim, warnings } = createReclaiming([world]);
    const result = await reclaim(world, { signal: AbortSignal.abort(stopping) });
    expect(result).toMatchObject({ freed: false, models: ["a"], attempts: [] });
    expect(world.calls).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test("leaves a verb that does not listen, and tries no other", async () => {
    const world = createWorld({ free: hangs, process: true });
    const abort = new AbortController();
    const { reclaim } = createReclaiming([world], { freeMs: 600_000 });
    const ending = reclaim(world, { signal: abort.signal });
    await called(world, 1);
    abort.abort(stopping);
    expect(await ending).toMatchObject({ freed: false, attempts: [{ error: "stopping" }] });
    expect(world.calls).toEqual(["free a"]);
  });

  test("while it waits its turn lets those behind it go on", async () => {
    const slow = gate();
    const world = createWorld({ free: slow.free });
    const { reclaim } = createReclaiming([world], { freeMs: 30_000 });
    const abort = new AbortController();
    const first = reclaim(world);
    await called(world, 1);
    const second = reclaim(world, { signal: abort.signal });
    const third = reclaim(world);
    abort.abort(stopping);
    expect(await second).toMatchObject({ freed: false, attempts: [] });
    slow.open();
    expect((await first).freed).toBe(true);
    expect((await third).freed).toBe(true);
  });

  test("leaves no listener on the signal, however it ends", async () => {
    const { signal } = new AbortController();
    for (const free of [leaves, nothing, fails, hangs]) {
      const world = createWorld({ free, process: true });
      const { reclaim } = createReclaiming([world], { freeMs: 10 });
      await reclaim(world, { signal });
    }
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

test("a backend that breaks the rules makes no reclaim reject", async () => {
  const world = createWorld({ free: nothing, process: true });
  const { reclaim, warnings } = createReclaiming([world]);
  const backend = {
    ...world.backend,
    usable: fails,
    process: { ...world.backend.process!, running: fails },
  };
  expect(await reclaim(world, { backend })).toMatchObject({ freed: false, attempts: [] });
  expect(warnings).toEqual(["models could not be made to leave"]);
  // Its turn has ended all the same.
  expect((await reclaim(world)).freed).toBe(true);
});
