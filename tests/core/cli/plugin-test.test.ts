/** `switchyard plugin test` for a plugin that lies outside the repository. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runCli, runPluginCommand } from "../../../core/cli/mod.ts";
import { systemClock } from "../../../core/clock.ts";

const TEMPLATE = resolve(import.meta.dir, "../../../scripts/new-plugin/typescript");
const PLUGIN = join(TEMPLATE, "plugin.ts");
const FAKE = join(TEMPLATE, "fake.ts");
const LIMIT_MS = 60_000;
let here = "";

beforeAll(async () => {
  here = await mkdtemp(join(tmpdir(), "switchyard-plugin-test-"));
  for (const name of ["whole", "alone", "wrong"]) {
    await mkdir(join(here, name));
    await copyFile(PLUGIN, join(here, name, "plugin.ts"));
    await copyFile(FAKE, join(here, name, "fake.ts"));
  }
  const cases = `import { startFakeTemplateServer } from "./fake.ts";
export default { fake: startFakeTemplateServer };`;
  await writeFile(join(here, "whole", "conformance.ts"), cases);
  await writeFile(join(here, "wrong", "conformance.ts"), "export const cases = {};");
  await writeFile(join(here, "large.yaml"), "model: large\n");
  await writeFile(join(here, "broken.ts"), "export default { apiVersion: 2 };");
});

afterAll(() => rm(here, { recursive: true, force: true }));

async function plugin(line: string) {
  const written = { out: "", err: "" };
  const code = await runPluginCommand(line.split(" ").filter(Boolean), {
    here,
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
  });
  return { code, ...written };
}

describe("plugin test", () => {
  test(
    "runs every rule against the fake beside the plugin",
    async () => {
      const { code, out, err } = await plugin("test ./whole");
      expect([code, err]).toEqual([0, ""]);
      expect(out).toContain("  ok    image.generate: a cancel while it works reaches the server\n");
      expect(out).toMatch(/\n\d\d passed, 0 failed, \d+ do not apply\n$/);
    },
    LIMIT_MS,
  );

  test("tries only the manifest where there is no server, and says so", async () => {
    const { code, out } = await plugin("test ./alone");
    expect(code).toBe(0);
    expect(out).toContain("  ok    says who it is\n");
    expect(out).not.toContain("health");
    expect(out).toContain("Only what needs no server was tried: write conformance.ts");
  });

  test(
    "works against a real server, without the rules that steer a fake",
    async () => {
      const { startFakeTemplateServer } = await import(FAKE);
      const server = await startFakeTemplateServer();
      const { code, out } = await plugin(`test ./alone --against ${server.url}`);
      expect(code).toBe(0);
      expect(out).toStartWith(`Template Server (template-server 0.1.0), against ${server.url}\n`);
      expect(out).toContain("  ok    image.generate: does not submit twice after a restart\n");
      expect(out).toContain("(does not apply: a real server cannot be steered)");
      expect(server.calls).toContain("POST /jobs");
      await server.stop();
    },
    LIMIT_MS,
  );

  test("says what failed and why, and ends with 1", async () => {
    const nowhere = await plugin("test ./alone --against http://127.0.0.1:9 --only health");
    expect(nowhere.code).toBe(1);
    expect(nowhere.out).toContain("  FAIL  health is ready when the server answers\n");
    expect(nowhere.out).toContain("connection refused");
  });

  test(
    "gives the plugin the settings of a file",
    async () => {
      const set = "test ./whole --settings large.yaml --only residents";
      expect((await plugin(set)).code).toBe(0);
      const missing = await plugin("test ./whole --settings gone.yaml");
      expect(missing).toMatchObject({ code: 1, out: "" });
      expect(missing.err).toContain("--settings: ");
    },
    LIMIT_MS,
  );

  test.each([
    ["test ./nowhere", 1, 'called "./nowhere"'],
    ["test ./broken.ts", 1, "apiVersion is 2"],
    ["test ./wrong", 1, "has no default export"],
    ["test", 64, "Name one plugin to test."],
    ["try ./whole", 64, 'There is no command "plugin try"'],
    ["test ./whole --against ftp://x", 64, "must be like http://"],
    ["test ./whole --loud", 64, "--loud"],
  ])("refuses %p", async (line, code, says) => {
    const refused = await plugin(line);
    expect(refused.code).toBe(code);
    expect(refused.err).toContain(says);
  });

  test("is a command of the program", async () => {
    let out = "";
    const output = { write: (text: string) => (out += text) };
    const environment = { folder: here, stdout: output, stderr: output, clock: systemClock };
    const code = await runCli(["plugin", "--help"], { ...environment, start: async () => 1 });
    expect([code, out]).toEqual([0, expect.stringContaining("plugin test <plugin> [options]")]);
  });
});
