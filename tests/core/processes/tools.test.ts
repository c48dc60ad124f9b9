/** systemd units and containers, through stand-ins for the tools that are first on PATH. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ProcessSettings, Supervised, Supervisor } from "../../../core/processes/mod.ts";
import { eventually } from "../../gateway.ts";
import { createWorld, FIXTURES, kill, lives, ON_LINUX, signal, type World } from "./world.ts";

const PATH = process.env.PATH;
let world: World;
let supervisor: Supervisor | undefined;

beforeEach(() => {
  world = createWorld();
  process.env.PATH = `${join(FIXTURES, "bin")}:${PATH}`;
  process.env.FAKE_STATE = world.folder;
});
afterEach(async () => {
  await supervisor?.close();
  supervisor = undefined;
  world.remove();
  process.env.PATH = PATH;
  delete process.env.FAKE_STATE;
});

const unit = { kind: "systemd", unit: "sd.service", user: true } as const;
const container = { kind: "docker", container: "sd" } as const;

function one(run: ProcessSettings["run"], more: Partial<ProcessSettings> = {}): Supervised {
  supervisor = world.supervise({ ...world.settings("serve", more), run });
  return supervisor.get("sd")!;
}

const pid = () => Number(world.file("ready"));

describe.skipIf(!ON_LINUX)("a unit or a container (needs /proc)", () => {
  for (const run of [unit, container]) {
    test(`${run.kind}: is started, looked at and stopped through its tool`, async () => {
      const sd = one(run);
      await sd.start(signal());
      expect(sd.state()).toMatchObject({ kind: "ready", pid: pid() });
      expect(await sd.pids()).toEqual([pid()]);
      expect((await sd.lastLines()).length).toBeGreaterThan(0);
      await sd.stop();
      expect(lives(pid())).toBe(false);
      expect(sd.state()).toEqual({ kind: "stopped" });
      expect(await sd.pids()).toEqual([]);
    });

    test(`${run.kind}: is seen when it ends by itself`, async () => {
      const sd = one(run);
      await sd.start(signal());
      kill(pid());
      await eventually("the failure", () => sd.state().kind === "failed");
    });

    test(`${run.kind}: is adopted by the next gateway and ended when it is removed`, async () => {
      await one(run).start(signal());
      const first = pid();
      const next = world.supervise({ sd: { ...world.settings("serve"), run } });
      await next.recover();
      expect(next.get("sd")!.state()).toMatchObject({ kind: "ready", pid: first });
      await world.supervise({}).recover();
      expect(lives(first)).toBe(false);
    });
  }

  test("systemd: what ran before the gateway came is used, and not ended with it", async () => {
    Bun.spawnSync(["systemctl", "--user", "start", "--", "sd.service"], { env: process.env });
    const sd = one(unit);
    await supervisor!.recover();
    await sd.start(signal());
    await supervisor!.close();
    expect(lives(pid())).toBe(true);
  });

  test("systemd: a unit that does not exist, and a bus that is missing, are said so", async () => {
    const missing = await one({ ...unit, unit: "missing.service" })
      .start(signal())
      .catch((e) => e);
    expect(missing.message).toContain('no unit "missing.service"');
    writeFileSync(join(world.folder, "broken"), "");
    const broken = await one(unit)
      .start(signal())
      .catch((e) => e);
    expect(broken.kind).toBe("not_started");
    expect(broken.message).toContain("Failed to connect to bus");
  });

  test("docker: a container that does not exist, and a missing docker, are said so", async () => {
    const absent = await one({ kind: "docker", container: "nowhere" })
      .start(signal())
      .catch((e) => e);
    expect(absent.message).toContain("No such container: nowhere");
    process.env.PATH = world.folder;
    const missing = await one(container)
      .start(signal())
      .catch((e) => e);
    process.env.PATH = PATH;
    expect(missing.message).toContain("not installed");
  });

  test("docker: what does not stop is killed", async () => {
    const sd = one(container, { stopTimeoutMs: 1_000 });
    await sd.start(signal());
    writeFileSync(join(world.folder, "stubborn"), "");
    await sd.stop();
    expect(lives(pid())).toBe(false);
    expect(world.file("calls")).toContain("stop -t 1 sd\n");
    expect(world.file("calls")).toContain("kill sd");
  });
});
