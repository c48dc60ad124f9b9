/**
 * `bun run new:plugin <name>`: writes a plugin, its README, a fake server and a test that passes.
 * The texts are the working plugins in `new-plugin/<kind>`, under another name.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";

const TEMPLATES = resolve(import.meta.dirname, "new-plugin");
const REPOSITORY = resolve(import.meta.dirname, "..");
const DEFAULT_KIND = "typescript";
const USAGE = `bun run new:plugin <name> [--kind <kind>] [--at <folder>]

  <name>         lower case letters, digits and hyphens, for example stable-audio
  --kind <kind>  how the server is reached: ${kinds().join(", ")}; ${DEFAULT_KIND} unless said
  --at <folder>  a new folder for an npm package of your own, in place of this repository
`;
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const MAX_NAME = 40;

/** What is written: the template's file, and the new one's path and text. */
interface Written {
  readonly path: string;
  readonly text: string;
}

export function kinds(): readonly string[] {
  const folders = readdirSync(TEMPLATES, { withFileTypes: true });
  return folders.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** Why a plugin cannot have this name, or undefined. */
export function refuseName(name: string): string | undefined {
  if (!NAME.test(name)) {
    const guess = name
      .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^[-0-9]+|-+$/g, "");
    const hint = NAME.test(guess) ? `; did you mean "${guess}"?` : "";
    return `"${name}" is not a name: use lower case letters, digits and single hyphens${hint}`;
  }
  if (name.length > MAX_NAME) return `"${name}" is longer than ${MAX_NAME} characters`;
  return undefined;
}

/** Writes a plugin into a copy of the repository; gives the paths. Throws when the name is taken. */
export async function writePlugin(
  name: string,
  root: string,
  kind: string = DEFAULT_KIND,
): Promise<readonly string[]> {
  const at = {
    "plugin.ts": `plugins/${name}/plugin.ts`,
    "README.md": `plugins/${name}/README.md`,
    "fake.ts": `tests/fakes/${name}.ts`,
    "plugin.test.ts": `tests/plugins/${name}.test.ts`,
  };
  const files = await texts(name, kind, Object.keys(at));
  const written = Object.entries(at).map(([file, path]) => ({
    path,
    text: (files.get(file) ?? "")
      .replaceAll('"./plugin.ts"', `"../../plugins/${name}/plugin.ts"`)
      .replaceAll(/"(\.|\.\.\/typescript)\/fake\.ts"/g, `"../fakes/${name}.ts"`)
      .replaceAll("{{fake}}", at["fake.ts"])
      .replaceAll("{{test}}", `npm test -- ${at["plugin.test.ts"]}`),
  }));
  await write(root, written, [`plugins/${name}`]);
  return written.map(({ path }) => path);
}

/** Writes an npm package with a plugin into a new folder; gives the paths. */
export async function writePackage(
  name: string,
  folder: string,
  kind: string = DEFAULT_KIND,
): Promise<readonly string[]> {
  const files = await texts(name, kind, ["plugin.ts", "README.md", "fake.ts", "conformance.ts"]);
  const test = `npm run --prefix <the repository> switchyard -- plugin test ${basename(folder)}`;
  const readme = (files.get("README.md") ?? "")
    .replaceAll("{{fake}}", "fake.ts")
    .replaceAll("{{test}}", `# in the folder above this one\n${test}`)
    .replaceAll(`use: ${name}\n`, `use: switchyard-plugin-${name}\n`);
  files.set("README.md", readme);
  const cases = (files.get("conformance.ts") ?? "").replace("../typescript/fake.ts", "./fake.ts");
  files.set("conformance.ts", cases);
  files.set("package.json", packageOf(name));
  await write(
    folder,
    [...files].map(([path, text]) => ({ path, text })),
    ["package.json"],
  );
  return [...files.keys()];
}

function packageOf(name: string): string {
  const described = {
    name: `switchyard-plugin-${name}`,
    version: "0.1.0",
    type: "module",
    // Deno reads no TypeScript inside node_modules, so what is published is JavaScript.
    exports: "./plugin.js",
    files: ["plugin.js"],
    scripts: { prepack: "bun build plugin.ts --no-bundle --outfile plugin.js" },
  };
  return `${JSON.stringify(described, null, 2)}\n`;
}

/** The template's files under the new name. */
async function texts(
  name: string,
  kind: string,
  files: readonly string[],
): Promise<Map<string, string>> {
  const refusal = refuseName(name);
  if (refusal !== undefined) throw new Error(refusal);
  if (!kinds().includes(kind)) {
    throw new Error(`There is no kind "${kind}"; there is ${kinds().join(", ")}`);
  }
  const read = files.map(async (file): Promise<[string, string]> => {
    const own = join(TEMPLATES, kind, file);
    // A kind whose server is the default one's has no fake of its own.
    const path = existsSync(own) ? own : join(TEMPLATES, DEFAULT_KIND, file);
    return [file, rename(await readFile(path, "utf8"), name)];
  });
  return new Map(await Promise.all(read));
}

/** Writes everything or nothing. */
async function write(
  root: string,
  files: readonly Written[],
  also: readonly string[],
): Promise<void> {
  const paths = files.map(({ path }) => path);
  const taken = [...also, ...paths].find((path) => existsSync(join(root, path)));
  if (taken !== undefined) throw new Error(`${taken} exists already; choose another name`);
  for (const { path, text } of files) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text, { flag: "wx" });
  }
  format(root, paths);
}

/** The template's name in its three spellings, replaced. */
function rename(text: string, name: string): string {
  const words = name.split("-").map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return text
    .replaceAll("template-server", name)
    .replaceAll("Template Server", words.join(" "))
    .replaceAll("TemplateServer", words.join(""));
}

/** A name of another length may move line ends. Without the formatter the files work as well. */
function format(root: string, files: readonly string[]): void {
  const biome = join(root, "node_modules/.bin/biome");
  if (!existsSync(join(root, "biome.json"))) return;
  const sources = files.filter((file) => file.endsWith(".ts"));
  spawnSync(biome, ["check", "--write", ...sources], { cwd: root, stdio: "ignore" });
}

function nextSteps(name: string, files: readonly string[]): string {
  return `Wrote
${files.map((file) => `  ${file}`).join("\n")}

Next
  1. See it pass:  npm test -- tests/plugins/${name}.test.ts
  2. Make tests/fakes/${name}.ts answer as the real server does.
  3. Change plugins/${name}/plugin.ts until the test passes again.
  4. Enable it in config/gateway.yaml:
       backends:
         ${name}:
           use: ${name}
           url: http://127.0.0.1:9000

docs/plugins.md explains every field.
`;
}

function packageSteps(folder: string, files: readonly string[]): string {
  const name = basename(folder);
  return `Wrote
${files.map((file) => `  ${join(folder, file)}`).join("\n")}

Next
  1. See it pass, in the folder above it:
       node ${join(relative(dirname(folder), REPOSITORY), "scripts/launch.mjs")} plugin test ./${name}
  2. Make fake.ts answer as the real server does, and plugin.ts speak to it.
  3. Try it against the real one: … plugin test ./${name} --against http://127.0.0.1:9000
  4. npm pack, and npm install the file beside your gateway.yaml.

docs/plugins.md explains every field.
`;
}

interface Wishes {
  readonly name: string;
  readonly kind: string | undefined;
  /** Undefined: into this repository, or the copy of it at `root`. */
  readonly at: string | undefined;
  readonly root: string;
}

function wishesIn(words: string[]): Wishes | undefined {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: { root: text, kind: text, at: text, help: { type: "boolean" } },
  });
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0 || values.help) return undefined;
  // npm changes the folder; where the person was stands here.
  const here = process.env.INIT_CWD ?? ".";
  const { at, kind, root = REPOSITORY } = values;
  return { name, kind, at: at && resolve(here, at), root: resolve(root) };
}

async function main(words: string[]): Promise<number> {
  try {
    const wishes = wishesIn(words);
    if (wishes === undefined) {
      process.stderr.write(USAGE);
      return words.includes("--help") ? 0 : 64;
    }
    const { name, kind, at, root } = wishes;
    const told =
      at === undefined
        ? nextSteps(name, await writePlugin(name, root, kind))
        : packageSteps(at, await writePackage(name, at, kind));
    process.stdout.write(told);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
