/** `bun run new:plugin`: what it writes must pass as written. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFile, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { checkManifest } from "../../core/host/mod.ts";
import { kinds } from "../../scripts/new-plugin.ts";

const REPOSITORY = resolve(import.meta.dirname, "../..");
let root = "";

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "switchyard-new-plugin-"));
  for (const name of ["core", "node_modules"])
    await symlink(join(REPOSITORY, name), join(root, name));
  for (const name of ["package.json", "tsconfig.json", "bunfig.toml", "biome.json", ".gitignore"]) {
    await copyFile(join(REPOSITORY, name), join(root, name));
  }
});

afterAll(() => rm(root, { recursive: true, force: true }));

async function bun(...words: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: out + error };
}

const newPlugin = (...words: string[]) =>
  bun(join(REPOSITORY, "scripts/new-plugin.ts"), ...words, "--root", root);

test.each(kinds().map((kind) => [kind]))(
  "a new plugin of kind %s passes as written, and its manifest is accepted",
  async (kind) => {
    const name = `paint-box-${kind}`;
    const made = await newPlugin(name, "--kind", kind);
    expect(made.output).toContain(`npm test -- tests/plugins/${name}.test.ts`);
    expect(made.code).toBe(0);
    const tested = await bun("test", `tests/plugins/${name}.test.ts`);
    expect(tested.output).toContain(`${name} conforms`);
    expect(tested.output).toContain(" 0 fail");
    expect(tested.code).toBe(0);
    const { default: plugin } = await import(join(root, `plugins/${name}/plugin.ts`));
    expect(plugin.name).toBe(name);
    expect(checkManifest(plugin)).toMatchObject({ ok: true });
  },
  60_000,
);

test.each(kinds().map((kind) => [kind]))(
  "a package of kind %s passes outside the repository",
  async (kind) => {
    const folder = join(root, "elsewhere", `lamp-${kind}`);
    const made = await newPlugin("lamp", "--kind", kind, "--at", folder);
    expect([made.code, made.output]).toEqual([0, expect.stringContaining("plugin test ./lamp-")]);
    const tested = await bun(join(REPOSITORY, "core/main.ts"), "plugin", "test", folder);
    expect([kind, tested.code, tested.output]).toEqual([
      kind,
      0,
      expect.stringMatching(/\d\d passed, 0 failed/),
    ]);
    const again = await newPlugin("lamp", "--at", folder);
    expect([again.code, again.output]).toEqual([
      1,
      "package.json exists already; choose another name\n",
    ]);
  },
  60_000,
);

test("an unknown kind, or option, is refused with what there is", async () => {
  const kind = await newPlugin("lamp", "--kind", "soap");
  expect([kind.code, kind.output]).toEqual([
    1,
    `There is no kind "soap"; there is ${kinds().join(", ")}\n`,
  ]);
  const option = await newPlugin("lamp", "--knd", "rest-job");
  expect([option.code, option.output]).toEqual([1, expect.stringContaining("--knd")]);
});

test("the template's name is gone, and no file is longer than a plugin's may be", async () => {
  await newPlugin("left-overs");
  for (const folder of ["plugins/left-overs", "tests/fakes", "tests/plugins"]) {
    for (const file of await readdir(join(root, folder))) {
      const text = await readFile(join(root, folder, file), "utf8");
      expect(text).not.toMatch(/template.?server/i);
      if (folder.startsWith("plugins/")) expect(text.split("\n").length).toBeLessThanOrEqual(101);
    }
  }
});

test("an existing plugin is not overwritten", async () => {
  await newPlugin("twice");
  const before = await readFile(join(root, "plugins/twice/plugin.ts"), "utf8");
  const again = await newPlugin("twice");
  expect(again.code).toBe(1);
  expect(again.output).toBe("plugins/twice exists already; choose another name\n");
  expect(await readFile(join(root, "plugins/twice/plugin.ts"), "utf8")).toBe(before);
});

test("an ill-formed name is refused with the nearest good one, and writes nothing", async () => {
  for (const [name, guess] of [
    ["StableAudio", "stable-audio"],
    ["my_plugin", "my-plugin"],
    ["../evil", "evil"],
    ["two--hyphens", "two-hyphens"],
  ] as const) {
    const made = await newPlugin(name);
    expect(made.code).toBe(1);
    expect(made.output).toContain(`"${name}" is not a name`);
    expect(made.output).toContain(`did you mean "${guess}"?`);
    expect(await readdir(join(root, "plugins")).catch(() => [])).not.toContain(guess);
  }
});

test("without a name it says how it is used", async () => {
  const made = await newPlugin();
  expect(made.code).toBe(64);
  expect(made.output).toContain("bun run new:plugin <name> [--kind <kind>]");
});
