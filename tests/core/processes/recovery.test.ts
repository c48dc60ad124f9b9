/** A gateway that dies and one that comes after it, as real processes, on both runtimes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { ProcessSettings } from "../../../core/processes/mod.ts";
import { eventually } from "../../gateway.ts";
import { createWorld, FIXTURES, kill, lives, ON_LINUX, signal, type World } from "./world.ts";

const ROOT = resolve(import.meta.dir, "../../..");
const DENO = process.env.SWITCHYARD_DENO ?? "deno";
const HAS_DENO = process.env.SWITCHYARD_DENO !== undefined || Bun.which("deno") !== null;

interface Program {
  readonly child: ChildProcess;
  ask(line: string): Promise<any>;
  kill(): Promise<void>;
}

let world: World;
const programs: Program[] = [];

beforeEach(() => {
  world = createWorld();
});
afterEach(async () => {
  for (const program of programs.splice(0)) await program.kill();
  world.remove();
});

function gateway(runtime: "bun" | "deno", settings: Record<string, ProcessSettings>): Program {
  const main = join(FIXTURES, "gateway.ts");
  const argument = JSON.stringify({ folder: world.folder, settings });
  const command =
    runtime === "bun"
      ? [process.execPath, main, argument]
      : [DENO, "run", "--allow-all", `--config=${join(ROOT, "deno.json")}`, main, argument];
  const child = spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
  const answers: ((answer: any) => void)[] = [];
  createInterface({ input: child.stdout! }).on("line", (line) =>
    answers.shift()?.(JSON.parse(line)),
  );
  const gone = new Promise<void>((done) => child.once("exit", () => done()));
  const program: Program = {
    child,
    ask(line) {
      child.stdin!.write(`${line}\n`);
      return new Promise((answer) => answers.push(answer));
    },
    async kill() {
      child.kill("SIGKILL");
      await gone;
    },
  };
  programs.push(program);
  return program;
}

for (const runtime of ["bun", "deno"] as const) {
  const name = `a gateway on ${runtime} (needs /proc and ${runtime})`;
  describe.skipIf(!ON_LINUX || (runtime === "deno" && !HAS_DENO))(name, () => {
    test("starts, sees and stops a whole family", async () => {
      const first = gateway(runtime, { sd: world.settings("family") });
      expect(await first.ask("start sd")).toEqual({ value: null });
      const { value: pids } = await first.ask("pids sd");
      expect([...pids].sort()).toEqual(
        world
          .alive()
          .filter((pid) => pid !== first.child.pid)
          .sort(),
      );
      expect((await first.ask("lines sd")).value[0]).toStartWith("started as");
      expect(await first.ask("stop sd")).toEqual({ value: null });
      expect(pids.filter(lives)).toEqual([]);
    });

    test("kills what ignores SIGTERM, and says how a crash ended", async () => {
      const settings = { stopTimeoutMs: 300 };
      const first = gateway(runtime, {
        sd: world.settings("stubborn", settings),
        wan: world.settings("crash"),
      });
      await first.ask("start sd");
      const pid = Number(world.file("ready"));
      await first.ask("stop sd");
      expect(lives(pid)).toBe(false);
      const crash = await first.ask("start wan");
      expect(crash).toMatchObject({ kind: "exited", exit: { code: 3 } });
      expect(crash.lastLines).toContain("loading weights");
    });

    test("is killed, and the next one adopts exactly the process that it left", async () => {
      const settings = { sd: world.settings("serve") };
      const first = gateway(runtime, settings);
      await first.ask("start sd");
      const pid = Number(world.file("ready"));
      await first.kill();
      expect(lives(pid)).toBe(true);
      const second = gateway(runtime, settings);
      await second.ask("recover");
      expect((await second.ask("state sd")).value).toMatchObject({ kind: "ready", pid });
      expect(await second.ask("start sd")).toEqual({ value: null });
      expect(world.starts()).toBe(1);
      // The end of an adopted process is nobody's signal, and is seen all the same.
      kill(pid);
      await eventually("the end is seen", async () => {
        return (await second.ask("state sd")).value.kind === "failed";
      });
      await second.ask("start sd");
      expect(world.starts()).toBe(2);
      await second.ask("close");
      expect(lives(Number(world.file("ready")))).toBe(false);
    });

    test("is killed while a process starts, and none is ever left or doubled", async () => {
      const settings = { sd: world.settings("serve", { start: "always" }) };
      for (const afterMs of [0, 15, 30, 60, 120]) {
        const dying = gateway(runtime, settings);
        await dying.ask("pids sd");
        void dying.ask("recover");
        void dying.ask("start sd");
        await Bun.sleep(afterMs);
        await dying.kill();
      }
      const last = gateway(runtime, settings);
      await last.ask("recover");
      await last.ask("start sd");
      const pid = (await last.ask("state sd")).value.pid;
      const others = world.alive().filter((it) => it !== last.child.pid);
      expect(others).toEqual([pid]);
      await last.ask("close");
      expect(lives(pid)).toBe(false);
    });

    test("lets a process stay when it stops, for the next one", async () => {
      const settings = { sd: world.settings("serve", { stopWithGateway: false }) };
      const first = gateway(runtime, settings);
      await first.ask("start sd");
      await first.ask("close");
      first.child.stdin!.end();
      await eventually("the gateway is gone", () => first.child.exitCode === 0);
      const pid = Number(world.file("ready"));
      expect(lives(pid)).toBe(true);
      const second = gateway(runtime, settings);
      await second.ask("recover");
      expect((await second.ask("state sd")).value.pid).toBe(pid);
    });
  });
}

describe.skipIf(!ON_LINUX)("what a dead gateway left (needs /proc)", () => {
  const record = () => join(world.folder, "processes", "sd.pid");

  /** A process of sd whose gateway was killed. */
  async function left(settings: ProcessSettings): Promise<number> {
    const first = gateway("bun", { sd: settings });
    expect(await first.ask("start sd")).toEqual({ value: null });
    await first.kill();
    return Number(world.file("ready"));
  }

  test("is found by its marker when its record was never written", async () => {
    const settings = world.settings("serve");
    const pid = await left(settings);
    rmSync(record());
    const next = world.supervise({ sd: settings });
    await next.recover();
    await next.get("sd")!.start(signal());
    expect(next.get("sd")!.state()).toMatchObject({ kind: "ready", pid });
    expect(world.starts()).toBe(1);
    expect(JSON.parse(readFileSync(record(), "utf8")).pid).toBe(pid);
    await next.close();
    expect(lives(pid)).toBe(false);
  });

  test("is not taken for a stranger that has its number now", async () => {
    const stranger = spawn("sleep", ["300"], { detached: true });
    const settings = world.settings("serve");
    const pid = await left(settings);
    const written = JSON.parse(readFileSync(record(), "utf8"));
    kill(pid);
    await eventually("it is gone", () => !lives(pid));
    writeFileSync(record(), JSON.stringify({ ...written, pid: stranger.pid }));
    const next = world.supervise({ sd: settings });
    await next.recover();
    expect(next.get("sd")!.state()).toEqual({ kind: "stopped" });
    await next.get("sd")!.start(signal());
    expect(await next.get("sd")!.pids()).not.toContain(stranger.pid!);
    await next.close();
    expect(lives(stranger.pid!)).toBe(true);
    stranger.kill("SIGKILL");
  });

  test("is not looked for under a record of another boot, or one that is torn", async () => {
    const stranger = spawn("sleep", ["300"], { detached: true });
    const settings = world.settings("serve");
    const pid = await left(settings);
    const written = JSON.parse(readFileSync(record(), "utf8"));
    kill(pid);
    await eventually("it is gone", () => !lives(pid));
    const stat = readFileSync(`/proc/${stranger.pid}/stat`, "utf8");
    const startedAt = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    const torn = [
      JSON.stringify({ ...written, pid: stranger.pid, startedAt, bootId: "another" }),
      JSON.stringify({ ...written, pid: -1 }),
      JSON.stringify({ ...written, pid: 1, startedAt: "1" }),
      '{"kind":"comm',
      "",
    ];
    for (const text of torn) {
      writeFileSync(record(), text);
      const next = world.supervise({ sd: settings });
      await next.recover();
      expect(next.get("sd")!.state()).toEqual({ kind: "stopped" });
      await next.close();
    }
    expect(lives(stranger.pid!)).toBe(true);
    stranger.kill("SIGKILL");
  });

  test("is ended when the configuration has it no longer, or has it otherwise", async () => {
    const settings = world.settings("serve");
    const removed = await left(settings);
    await world.supervise({}).recover();
    expect(lives(removed)).toBe(false);
    const changed = await left(settings);
    const next = world.supervise({ sd: world.settings("serve", {}, { MODEL: "other" }) });
    await next.recover();
    expect(lives(changed)).toBe(false);
    expect(next.get("sd")!.state()).toEqual({ kind: "stopped" });
    expect(readdirSync(join(world.folder, "processes")).filter((n) => n.endsWith(".pid"))).toEqual(
      [],
    );
  });

  test("of a dead leader is ended, its children too", async () => {
    const settings = { sd: world.settings("family") };
    const first = gateway("bun", settings);
    await first.ask("start sd");
    const pid = Number(world.file("ready"));
    // Stopped, so that it cannot clear up what we are about to leave.
    first.child.kill("SIGSTOP");
    kill(pid);
    await eventually("the leader is gone", () => !lives(pid));
    await first.kill();
    expect(world.alive().length).toBeGreaterThan(0);
    const next = world.supervise(settings);
    await next.recover();
    expect(world.alive()).toEqual([]);
  });

  test("of another data folder is none of ours", async () => {
    const pid = await left(world.settings("serve"));
    const other = createWorld();
    try {
      const next = other.supervise({ sd: world.settings("serve") });
      await next.recover();
      expect(next.get("sd")!.state()).toEqual({ kind: "stopped" });
      expect(lives(pid)).toBe(true);
    } finally {
      other.remove();
    }
  });
});
