/**
 * `bun run new:plugin <name>`: writes a plugin, its README, a fake server and a test that passes.
 * The texts are the working plugin in `new-plugin/template`, under another name.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

const USAGE = `bun run new:plugin <name>

  <name>  lower case letters, digits and hyphens, for example stable-audio
`;
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const MAX_NAME = 40;
const TEMPLATE = resolve(import.meta.dirname, "new-plugin/template");
const REPOSITORY = resolve(import.meta.dirname, "..");

const FILES = [
  "plugins/template-server/plugin.ts",
  "plugins/template-server/README.md",
  "tests/fakes/template-server.ts",
  "tests/plugins/template-server.test.ts",
] as const;

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

/** Writes the files below `root`; gives their paths. Throws when the name is taken. */
export async function writePlugin(name: string, root: string): Promise<readonly string[]> {
  const refusal = refuseName(name);
  if (refusal !== undefined) throw new Error(refusal);
  const targets = FILES.map((file) => ({ file, target: rename(file, name) }));
  const taken = [`plugins/${name}`, ...targets.map(({ target }) => target)].find((path) =>
    existsSync(join(root, path)),
  );
  if (taken !== undefined) throw new Error(`${taken} exists already; choose another name`);
  for (const { file, target } of targets) {
    const text = await readFile(join(TEMPLATE, file), "utf8");
    await mkdir(dirname(join(root, target)), { recursive: true });
    await writeFile(join(root, target), rename(text, name), { flag: "wx" });
  }
  const written = targets.map(({ target }) => target);
  format(root, written);
  return written;
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

async function main(words: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    strict: false,
    options: { root: { type: "string" }, help: { type: "boolean" } },
  });
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0 || values.help) {
    process.stderr.write(USAGE);
    return values.help ? 0 : 64;
  }
  const root = typeof values.root === "string" ? resolve(values.root) : REPOSITORY;
  try {
    process.stdout.write(nextSteps(name, await writePlugin(name, root)));
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
