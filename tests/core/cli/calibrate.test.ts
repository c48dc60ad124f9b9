/** `switchyard calibrate` against a real gateway, whose servers hold memory of a simulated device. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { runCalibrateCommand, runCli } from "../../../core/cli/mod.ts";
import { systemClock } from "../../../core/clock.ts";
import { eventually, type Gateway, gatewayCommand, startGateway } from "../../gateway.ts";
import { createYard, type Yard } from "../../reliability/vram-yard.ts";

const WEIGHTS = resolve(import.meta.dir, "..", "..", "fixtures", "plugins", "weights", "plugin.ts");
const LIMIT_MS = 60_000;

/** As on a command line, but with a key in the environment; `url` is the gateway's. */
async function calibrate(
  gateway: Gateway,
  line: string,
  env = { SWITCHYARD_API_KEY: gateway.key },
) {
  const written = { out: "", err: "" };
  const words = ["--url", gateway.url, ...line.split(" ").filter(Boolean)];
  const code = await runCalibrateCommand(words, {
    env,
    clock: systemClock,
    stdout: { write: (text: string) => (written.out += text) },
    stderr: { write: (text: string) => (written.err += text) },
  });
  const rows = written.out.split("\n").map((row) => row.split(/ {2,}/));
  const headings = rows.find(([first]) => first === "BACKEND") ?? [];
  /** The line of a capability, by heading. */
  const row = (backend: string, capability: string): Record<string, string> => {
    const cells = rows.find((it) => it[0] === backend && it[1] === capability) ?? [];
    return Object.fromEntries(headings.map((heading, index) => [heading, cells[index] ?? ""]));
  };
  return { code, ...written, row };
}

describe("with a probe", () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeAll(async () => {
    yard = await createYard();
    await yard.add("painter", {
      models: { sdxl: { mib: 6_000, load_ms: 300 } },
      more: { declared_mib: 4_000, working_mib: 2_000 },
    });
    await yard.add("broken", { models: { flux: { mib: 100 } }, server: { oom: 1_000 } });
    const yaml = JSON.parse(yard.config({ vram: { probe_interval_ms: 100 } }));
    yaml.backends.speech = { use: "espeak" };
    gateway = await startGateway({ config: JSON.stringify(yaml), folder: yard.folder });
  }, LIMIT_MS);
  afterAll(async () => {
    await gateway.stop();
    await yard.close();
  });

  test(
    "measures what the model really holds and what its load takes, and shows what was declared",
    async () => {
      const done = await calibrate(gateway, "painter");
      expect(done).toMatchObject({ code: 0 });
      const shown = done.row("painter", "image.generate");
      expect(shown).toMatchObject({
        MODEL: "sdxl",
        "RESIDENT MiB": "6000",
        BEFORE: "4000 + 2000 declared",
      });
      expect(Number(shown["LOAD s"])).toBeGreaterThanOrEqual(0.3);
      // One run brought the model, three had it there.
      expect(shown.SAMPLES).toMatch(/^[1-9]\d*\/\d+\/[1-9]\d*\/[34]$/);
      expect(done.row("painter", "video.generate").BEFORE).toContain("learned");

      const { costs } = (await gateway.call("GET", "/vram/costs")).data;
      expect(costs[0]).toMatchObject({ backend: "painter", model: "sdxl", resident_mib: 6_000 });
    },
    LIMIT_MS,
  );

  test(
    "runs with the model unloaded first, also when it was there before",
    async () => {
      await calibrate(gateway, "painter --runs 1");
      const loads = async () =>
        (await yard.ask("painter", "GET", "/journal")).filter((it: any) => it.kind === "load");
      const before = (await loads()).length;
      const done = await calibrate(gateway, "painter --runs 1");
      expect(done.err).toContain("unloaded sdxl");
      expect((await loads()).length).toBeGreaterThan(before);
    },
    LIMIT_MS,
  );

  test(
    "a job that fails is named with its reason, the others are measured, and the code is 1",
    async () => {
      const done = await calibrate(gateway, "--runs 1");
      expect(done.code).toBe(1);
      expect(done.err).toMatch(/broken image\.generate: cold run failed: .*OUT_OF_MEMORY/);
      expect(done.row("painter", "image.generate")["RESIDENT MiB"]).toBe("6000");
      expect(done.out + done.err).not.toContain("speech");
    },
    LIMIT_MS,
  );

  test(
    "Ctrl-C cancels the job under way",
    async () => {
      // Behind a long job, so that it surely waits when it is interrupted.
      const long = await gateway.call("POST", "/generate/image", {
        ...{ backend: "painter", prompt: "a long one", ms: 60_000 },
      });
      const [command = "", ...args] = [...gatewayCommand("bun"), "calibrate", "painter"];
      const child = spawn(command, [...args, "--url", gateway.url], {
        env: { ...process.env, SWITCHYARD_API_KEY: gateway.key },
        stdio: "ignore",
      });
      const exited = new Promise<number | null>((done) => child.once("exit", done));
      const jobs = async () => (await gateway.call("GET", "/jobs?tag=calibrate")).data.items;
      const mine = await eventually(
        "its job waits",
        async () => (await jobs()).find((job: any) => job.status === "pending"),
        LIMIT_MS,
      );
      child.kill("SIGINT");
      expect(await exited).toBe(1);
      expect((await gateway.ended(mine.job_id)).status).toBe("cancelled");
      await gateway.call("DELETE", `/jobs/${long.data.job_id}`);
    },
    LIMIT_MS,
  );

  test("a wrong call says what is wrong with it, and never takes a key as an argument", async () => {
    const none = await calibrate(gateway, "painter", {} as any);
    expect(none).toMatchObject({ code: 64, out: "" });
    expect(none.err).toContain("SWITCHYARD_API_KEY");
    expect(await calibrate(gateway, "a b")).toMatchObject({ code: 64 });
    expect(await calibrate(gateway, "--runs 0")).toMatchObject({ code: 64 });
    expect(await calibrate(gateway, "--timeout soon")).toMatchObject({ code: 64 });
    expect(await calibrate(gateway, `--key ${gateway.key}`)).toMatchObject({ code: 64 });
    const unknown = await calibrate(gateway, "nobody");
    expect(unknown).toMatchObject({ code: 1 });
    expect(unknown.err).toContain("there are painter, broken, speech");
    const wrong = await calibrate(gateway, "painter", { SWITCHYARD_API_KEY: "sy_wrong" });
    expect(wrong).toMatchObject({ code: 1 });
    expect(wrong.err).toContain("No valid API key");
    expect((await calibrate(gateway, "speech")).err).toContain("needs no GPU");
  });

  test("the key may come from a file", async () => {
    const file = join(yard.folder, "key");
    writeFileSync(file, `${gateway.key}\n`);
    const asked = await calibrate(gateway, `nobody --key-file ${file}`, {} as any);
    expect(asked.err).toContain('There is no backend "nobody"');
    const absent = await calibrate(gateway, `--key-file ${file}-absent`, {} as any);
    expect(absent).toMatchObject({ code: 64 });
  });
});

describe("without a probe", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: JSON.stringify({
        devices: { gpu0: { probe: "none", memory_mib: 8_000 } },
        backends: {
          lifter: { use: WEIGHTS },
          gone: { use: "comfyui", url: "http://127.0.0.1:1" },
        },
      }),
    });
  });
  afterAll(() => gateway.remove());

  test(
    "says that no memory could be measured, shows the times, and leaves out who is down",
    async () => {
      const done = await calibrate(gateway, "");
      expect(done).toMatchObject({ code: 0 });
      expect(done.row("lifter", "weights.lift")).toMatchObject({
        "RESIDENT MiB": "-",
        "WORKING MiB": "-",
        BEFORE: "100 + 0 declared",
      });
      expect(done.out).toContain("gpu0 cannot be measured (no probe)");
      // Now it is there; it has no call to unload it, and the gateway does not run its process.
      const again = await calibrate(gateway, "");
      expect(again.out).toContain("lifter/weights: weights stayed: Weights has no call");
      expect(done.err).toContain("gone is down, so it is left out");
    },
    LIMIT_MS,
  );
});

test("the command line knows the command", async () => {
  let out = "";
  const output = { write: (text: string) => (out += text) };
  const code = await runCli(["calibrate", "--help"], {
    folder: "/nowhere",
    clock: systemClock,
    stdout: output,
    stderr: output,
    start: async () => 0,
  });
  expect(code).toBe(0);
  expect(out).toContain("Usage: npm run switchyard -- calibrate");
});
