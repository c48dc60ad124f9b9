/** Processes that end by themselves: how it is seen, when it is tried again, when it is given up. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ProcessState, Supervised, Supervisor } from "../../../core/processes/mod.ts";
import { eventually } from "../../gateway.ts";
import { createWorld, kill, lives, ON_LINUX, signal, type World } from "./world.ts";

let world: World;
let supervisor: Supervisor | undefined;

beforeEach(() => {
  world = createWorld();
});
afterEach(async () => {
  await supervisor?.close();
  supervisor = undefined;
  world.remove();
});

function one(...given: Parameters<World["supervise"]>): Supervised {
  supervisor = world.supervise(...given);
  return supervisor.get("sd")!;
}

type Failed = Extract<ProcessState, { kind: "failed" }>;
const failed = (sd: Supervised): Failed | undefined => {
  const state = sd.state();
  return state.kind === "failed" ? state : undefined;
};
const pidOf = (sd: Supervised): number | undefined => {
  const state = sd.state();
  return state.kind === "ready" ? state.pid : undefined;
};

describe.skipIf(!ON_LINUX)("a process that ends by itself (needs /proc)", () => {
  test("fails the start with its code and its last lines, plain and without secrets", async () => {
    const sd = one(world.settings("crash", {}, { API_TOKEN: "hush-hush-1" }));
    const error = await sd.start(signal()).catch((caught) => caught);
    expect(error.kind).toBe("exited");
    expect(error.code).toBe("SERVICE_UNAVAILABLE");
    expect(error.exit).toEqual({ code: 3 });
    expect(error.details).toEqual({ reason: "exited", exit_code: 3 });
    expect(error.lastLines.slice(1)).toEqual([
      "loading weights",
      "CUDA error: out of memory, token=[removed]",
    ]);
    expect(failed(sd)?.lastLines).toEqual(error.lastLines);
    expect(error.message).not.toContain(world.folder);
  });

  test("shows the lines of its last run alone", async () => {
    const sd = one(world.settings("crash"));
    await sd.start(signal()).catch(() => undefined);
    const error = await sd.start(signal()).catch((caught) => caught);
    expect(error.lastLines.length).toBe(3);
  });

  test("is seen at once when it was ready, and what it left behind is ended", async () => {
    const sd = one(world.settings("leaves"));
    await sd.start(signal());
    expect(world.alive().length).toBeGreaterThanOrEqual(2);
    writeFileSync(join(world.folder, "leave"), "");
    const state = await eventually("the failure", () => failed(sd));
    expect(state.reason).toContain("exited with code 5");
    expect(state.retryAtMs).toBeGreaterThan(Date.now() - 5_000);
    await eventually("nothing is left", () => world.alive().length === 0);
    await eventually("its last lines", () => failed(sd)?.lastLines.length);
  });

  test("is restarted when it is to be always up, each time after a longer wait", async () => {
    const sd = one(world.settings("serve", { start: "always", maxRestarts: 10 }), {
      timing: { watchMs: 40, readyPollMs: 20, firstBackoffMs: 400, maxBackoffMs: 5_000 },
    });
    await supervisor!.recover();
    await eventually("it is up", () => pidOf(sd));
    const waits: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const pid = pidOf(sd);
      const from = world.states.length;
      kill(pidOf(sd));
      const failure = await eventually("the failure", () =>
        world.states.slice(from).find((state): state is Failed => state.kind === "failed"),
      );
      waits.push(failure.retryAtMs! - Date.now());
      expect(failure.reason).toContain("SIGKILL");
      await eventually("another is up", () => pidOf(sd) !== pid && pidOf(sd));
    }
    expect(world.starts()).toBe(4);
    // 300, 600 and 1,200 ms, less what it took to look.
    expect(waits[1]!).toBeGreaterThan(waits[0]! + 100);
    expect(waits[2]!).toBeGreaterThan(waits[1]! + 200);
  });

  test("is given up in a crash loop, refused to demand, and begun again by hand", async () => {
    const sd = one(world.settings("mendable", { start: "always", maxRestarts: 2 }));
    await supervisor!.recover();
    const state = await eventually("the crash loop", () => {
      const now = failed(sd);
      return now && now.retryAtMs === undefined ? now : undefined;
    });
    expect(world.starts()).toBe(3);
    expect(state.lastLines.at(-1)).toBe("a file is missing");
    const refused = await sd.start(signal(), "demand").catch((error) => error);
    expect(refused.kind).toBe("crash_loop");
    expect(refused.lastLines).toEqual(state.lastLines);
    expect(world.starts()).toBe(3);
    writeFileSync(join(world.folder, "mended"), "");
    await sd.start(signal());
    expect(sd.state().kind).toBe("ready");
  });

  test("makes demand wait for the end of the back-off", async () => {
    const sd = one(world.settings("mendable"), {
      timing: { watchMs: 40, readyPollMs: 20, firstBackoffMs: 600, maxBackoffMs: 1_000 },
    });
    await sd.start(signal()).catch(() => undefined);
    const { retryAtMs = 0 } = failed(sd)!;
    writeFileSync(join(world.folder, "mended"), "");
    await sd.start(signal(), "demand");
    expect(Date.now()).toBeGreaterThanOrEqual(retryAtMs - 5);
    expect(world.starts()).toBe(2);
  });

  test("does not harm the process that a start put in its place", async () => {
    const sd = one(world.settings("serve"));
    for (let turn = 0; turn < 20; turn++) {
      await sd.start(signal());
      expect(await sd.pids()).toEqual([pidOf(sd)!]);
      const pid = pidOf(sd)!;
      kill(pid);
      // Dead, and in half of the turns the runtime has not told of it yet when the start comes.
      while (lives(pid)) Bun.sleepSync(1);
      if (turn % 2 === 0) await Bun.sleep(turn / 2);
      await sd.start(signal());
      await Bun.sleep(turn % 3);
      expect(pidOf(sd)).not.toBe(pid);
    }
    await sd.start(signal());
    expect(sd.state().kind).toBe("ready");
    expect(world.alive()).toEqual([pidOf(sd)!]);
    // One for each that was killed: none was ended by what cleared up after its predecessor.
    expect(world.starts()).toBe(21);
  });
});
