/** Starting, stopping and racing, with real processes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { ProcessError, type Supervised, type Supervisor } from "../../../core/processes/mod.ts";
import { eventually } from "../../gateway.ts";
import { createWorld, FIXTURES, lives, ON_LINUX, signal, type World } from "./world.ts";

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

const kinds = () => world.states.map(({ kind }) => kind);

describe.skipIf(!ON_LINUX)("a backend's process (needs /proc)", () => {
  test("is started, is ready, says its pids and its last lines, and is stopped", async () => {
    const sd = one(world.settings("serve"));
    await sd.start(signal());
    const state = sd.state();
    expect(state.kind).toBe("ready");
    const pid = state.kind === "ready" ? state.pid! : 0;
    expect(await sd.pids()).toEqual([pid]);
    expect(await sd.lastLines()).toEqual([`started as ${pid}`]);
    // A group and a session of its own: Ctrl-C in the gateway's terminal is not for it.
    const [, , group, session] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .split(") ")[1]!
      .split(" ");
    expect([group, session]).toEqual([String(pid), String(pid)]);
    expect(statSync(join(world.folder, "processes")).mode & 0o777).toBe(0o700);
    expect(statSync(join(world.folder, "processes", "sd.log")).mode & 0o777).toBe(0o600);
    await sd.stop();
    expect(sd.state()).toEqual({ kind: "stopped" });
    expect(await sd.pids()).toEqual([]);
    expect(world.alive()).toEqual([]);
    expect(kinds()).toEqual(["starting", "ready", "stopping", "stopped"]);
  });

  test("takes its children, a child in another session and a daemon along when it stops", async () => {
    const sd = one(world.settings("family"));
    await sd.start(signal());
    const daemon = Number(world.file("daemon"));
    expect(await sd.pids()).toContain(daemon);
    expect(world.alive().length).toBeGreaterThanOrEqual(5);
    expect([...(await sd.pids())].sort()).toEqual(world.alive().sort());
    await sd.stop();
    expect(world.alive()).toEqual([]);
    expect(lives(daemon)).toBe(false);
  });

  test("is killed when it ignores SIGTERM, after the time to stop and not before", async () => {
    const sd = one(world.settings("stubborn", { stopTimeoutMs: 400 }));
    await sd.start(signal());
    const since = performance.now();
    await sd.stop();
    expect(performance.now() - since).toBeGreaterThanOrEqual(400);
    expect(world.alive()).toEqual([]);
  });

  test("is one process, however many starts come at once", async () => {
    const sd = one(world.settings("serve"));
    await Promise.all(Array.from({ length: 20 }, () => sd.start(signal())));
    await sd.start(signal());
    expect(world.starts()).toBe(1);
  });

  test("is at most one process when starts, stops and restarts race", async () => {
    const sd = one(world.settings("serve"));
    let most = 0;
    const counter = setInterval(() => {
      most = Math.max(most, world.alive().length);
    }, 5);
    const calls = Array.from({ length: 40 }, async (_, turn) => {
      await Bun.sleep((turn * 7) % 60);
      if (turn % 3 === 0) await sd.stop();
      else if (turn % 7 === 1) await sd.restart(signal());
      else await sd.start(signal());
    });
    for (const outcome of await Promise.allSettled(calls)) {
      if (outcome.status === "rejected") expect(outcome.reason.kind).toBe("stopped");
    }
    await sd.start(signal());
    clearInterval(counter);
    expect(most).toBeLessThanOrEqual(1);
    expect(world.alive().length).toBe(1);
    await sd.stop();
    expect(world.alive()).toEqual([]);
  });

  test("ends a start when a stop comes, and nothing is left of it", async () => {
    const sd = one(world.settings("slow"));
    const start = sd.start(signal()).catch((error) => error);
    await eventually("it runs", () => world.starts() === 1);
    await sd.stop();
    expect((await start).kind).toBe("stopped");
    expect(sd.state().kind).toBe("stopped");
    expect(world.alive()).toEqual([]);
  });

  test("goes on starting when one who waits gives up", async () => {
    const sd = one(world.settings("mendable"), {
      health: async () => ({ ready: gate && world.starts() > 0 }),
    });
    let gate = false;
    await Bun.write(join(world.folder, "mended"), "");
    const reason = await sd.start(AbortSignal.timeout(300)).catch((error) => error);
    expect(reason.name).toBe("TimeoutError");
    expect(sd.state().kind).toBe("starting");
    gate = true;
    await sd.start(signal());
    expect(world.starts()).toBe(1);
  });

  test("is ended when it is not ready in time, and the error says what health said", async () => {
    const sd = one(world.settings("slow", { readyTimeoutMs: 300 }), {
      health: async () => ({ ready: false, reason: "loading 3 of 9" }),
    });
    const error = await sd.start(signal()).catch((caught) => caught);
    expect(error).toBeInstanceOf(ProcessError);
    expect(error.kind).toBe("not_ready");
    expect(error.message).toContain("loading 3 of 9");
    expect(error.lastLines[0]).toStartWith("started as");
    expect(world.alive()).toEqual([]);
  });

  test("is not started beside a program that answers already", async () => {
    const sd = one(world.settings("serve"), { health: async () => ({ ready: true }) });
    const error = await sd.start(signal()).catch((caught) => caught);
    expect(error.kind).toBe("taken");
    expect(world.starts()).toBe(0);
  });

  test("is not ready when another took its port after it began, and fails when it ends", async () => {
    const squatter = createServer((socket) => socket.end());
    await new Promise<void>((done) => squatter.listen(0, "127.0.0.1", done));
    const { port } = squatter.address() as { port: number };
    let asked = 0;
    const run = {
      ...{ kind: "command" as const, env: { TEST_FOLDER: world.folder } },
      argv: [process.execPath, join(FIXTURES, "server.ts"), String(port), "700"],
    };
    // Down at the look before the start; then the squatter answers for ours.
    const health = async () => ({ ready: asked++ > 0 });
    const sd = one({ ...world.settings("serve"), run }, { health, port: () => port });
    const error = await sd.start(signal()).catch((caught) => caught);
    squatter.close();
    expect(error.kind).toBe("exited");
    expect(error.exit).toEqual({ code: 9 });
    expect(error.lastLines.join("\n")).toContain("cannot listen");
    expect(kinds()).not.toContain("ready");
    expect(asked).toBeGreaterThan(1);
  });

  test("is ready on its port when it is its own process that listens", async () => {
    const probe = createServer();
    await new Promise<void>((done) => probe.listen(0, "127.0.0.1", done));
    const { port } = probe.address() as { port: number };
    await new Promise((done) => probe.close(done));
    const run = {
      ...{ kind: "command" as const, env: { TEST_FOLDER: world.folder } },
      argv: [process.execPath, join(FIXTURES, "server.ts"), String(port), "0"],
    };
    const health = async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
      return { ready: (await answer?.text()) === "ours" };
    };
    const sd = one({ ...world.settings("serve"), run }, { health, port: () => port });
    await sd.start(signal());
    expect(sd.state().kind).toBe("ready");
  });

  test("stops when idle, not while busy, and begins again on demand", async () => {
    const sd = one(world.settings("serve", { idleStopMs: 150 }));
    await sd.start(signal());
    supervisor!.busy("sd", true);
    await Bun.sleep(400);
    expect(sd.state().kind).toBe("ready");
    supervisor!.busy("sd", false);
    await eventually("it stopped", () => sd.state().kind === "stopped");
    expect(world.alive()).toEqual([]);
    await sd.start(signal(), "demand");
    expect(sd.state().kind).toBe("ready");
  });

  test("gets no secret of the gateway, and what the operator gives it", async () => {
    const env = { MODEL_FOLDER: "/models" };
    const sd = one(world.settings("environment", {}, env), {
      env: {
        PATH: process.env.PATH,
        CUDA_VISIBLE_DEVICES: "1",
        ADMIN_KEY: "sy_abcdefgh",
        LC_ALL: "C",
      },
    });
    await sd.start(signal());
    const seen = world.file("environment");
    expect(seen).toContain("MODEL_FOLDER=/models");
    expect(seen).toContain("CUDA_VISIBLE_DEVICES=1");
    expect(seen).toContain("LC_ALL=C");
    expect(seen).not.toContain("sy_abcdefgh");
    for (const name of Object.keys(process.env).filter((key) => /KEY|TOKEN|SECRET/.test(key))) {
      expect(seen).not.toContain(`${name}=`);
    }
  });

  test("inherits no socket and no file of the gateway", async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const sd = one(world.settings("serve"));
    await sd.start(signal());
    const state = sd.state();
    const pid = state.kind === "ready" ? state.pid : 0;
    const { stdout } = Bun.spawnSync(["ls", "-l", `/proc/${pid}/fd`]);
    server.close();
    expect(stdout.toString()).not.toContain("socket:");
  });

  test("has a log of bounded size, of which one older part is kept", async () => {
    const sd = one(world.settings("loud"), { logLimitBytes: 5_000 });
    await sd.start(signal());
    const log = join(world.folder, "processes", "sd.log");
    await eventually("an older part", () => statSync(`${log}.1`, { throwIfNoEntry: false })?.size);
    await eventually("it goes on in the file", () => statSync(log).size > 0);
    const lines = await eventually("lines", async () => {
      const found = await sd.lastLines(3);
      return found.length === 3 && found;
    });
    expect(lines[2]).toContain("fills the log file");
    expect(statSync(log).size).toBeLessThan(1_000_000);
  });

  test("is refused with the reason when its program or its folder does not exist", async () => {
    const base = world.settings("serve");
    const run = { kind: "command" as const, argv: ["no-such-program-here"], env: {} };
    supervisor = world.supervise({
      sd: { ...base, run },
      wan: { ...base, run: { ...run, argv: ["/bin/sh"], cwd: join(world.folder, "missing") } },
    });
    const noProgram = await supervisor
      .get("sd")!
      .start(signal())
      .catch((e) => e);
    expect(noProgram.kind).toBe("not_started");
    expect(noProgram.message).toContain("no-such-program-here");
    const noFolder = await supervisor
      .get("wan")!
      .start(signal())
      .catch((e) => e);
    expect(noFolder.message).toContain("process.cwd");
  });

  test("ends with the gateway, or stays when the operator wants it so", async () => {
    const ends = world.settings("serve");
    const first = one(ends);
    await first.start(signal());
    await supervisor!.close();
    expect(world.alive()).toEqual([]);
    expect((await first.start(signal()).catch((e) => e)).kind).toBe("stopped");
    const stays = one({ ...ends, stopWithGateway: false });
    await stays.start(signal());
    await supervisor!.close();
    expect(world.alive().length).toBe(1);
  });
});

test("a name, a unit, a container or a command of the wrong shape is refused", () => {
  const base = world.settings("serve");
  const refused = (name: string, run: typeof base.run) => () =>
    world.supervise({ [name]: { ...base, run } });
  expect(refused("../up", base.run)).toThrow("../up");
  expect(refused("sd", { kind: "systemd", unit: "--now", user: false })).toThrow("--now");
  expect(refused("sd", { kind: "systemd", unit: "a;b.service", user: false })).toThrow("a;b");
  expect(refused("sd", { kind: "docker", container: "-v" })).toThrow("-v");
  expect(refused("sd", { kind: "docker", container: "a b" })).toThrow("a b");
  expect(refused("sd", { kind: "command", argv: [], env: {} })).toThrow("empty");
  expect(refused("sd", { kind: "command", argv: ["a"], env: { "A=B": "" } })).toThrow("A=B");
  expect(refused("sd", { kind: "command", argv: ["a\0"], env: {} })).toThrow("NUL");
});
