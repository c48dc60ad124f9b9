/**
 * The command `plugin test`: the conformance suite for a plugin that lies anywhere, with the fake
 * that its author gives, or against a real server.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { loadPlugin } from "../host/mod.ts";
import { messageOf } from "../log.ts";
import { provideSdk } from "../runtime/mod.ts";
import type { PluginCases, Rule } from "../sdk/testing/cases.ts";
import { CommandError, EXIT, type Output, PROGRAM, UsageError } from "./environment.ts";

export interface PluginTestEnvironment {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Where the person is who calls the program: relative paths begin there. */
  readonly here: string;
}

const HELP = `Usage: ${PROGRAM} plugin test <plugin> [options]

Runs the conformance suite for a plugin: a built-in name, a path (./my-plugin), or an npm package
that is installed in this folder. What the suite needs stands beside the plugin in conformance.ts
(or .js), whose default export are its PluginCases: a fake server, settings, requests. Without that
file only the rules that need no server run, unless --against names one.

  --against <url>    a real server of yours instead of the fake. Each rule sends it real work; the
                     rules that need a server which fails or hangs on demand do not apply
  --settings <file>  the plugin's own settings, YAML, as under its backend in gateway.yaml
  --only <text>      only rules whose name contains this
`;

/** What the author gives beside the plugin. */
const CASES_FILES = ["conformance.ts", "conformance.js"];
const NO_FAKE =
  "Only what needs no server was tried: write conformance.ts beside the plugin, or use --against.";

/** Runs `plugin <argv…>` and returns the exit code; it throws nothing. */
export async function runPluginCommand(
  argv: string[],
  environment: PluginTestEnvironment,
): Promise<number> {
  const { stdout, stderr } = environment;
  const [word, ...rest] = argv;
  if (word === "help" || argv.includes("--help") || argv.includes("-h")) {
    stdout.write(HELP);
    return EXIT.ok;
  }
  try {
    if (word !== "test") throw new UsageError(`There is no command "plugin ${word ?? ""}".`);
    return await testPlugin(rest, environment);
  } catch (error) {
    const isUsage = error instanceof UsageError;
    const help = isUsage ? `See: ${PROGRAM} plugin --help\n` : "";
    stderr.write(`${messageOf(error)}\n${help}`);
    return isUsage ? EXIT.usage : EXIT.failed;
  }
}

async function testPlugin(
  argv: string[],
  { stdout, here }: PluginTestEnvironment,
): Promise<number> {
  const { use, against, settings, only = "" } = wishesIn(argv);
  provideSdk();
  const loaded = await loadPlugin(use, here);
  if (loaded.kind === "missing") throw new CommandError(`${loaded.message}.`);
  if (loaded.kind === "broken") throw new CommandError(loaded.reason);
  const { plugin, folder } = loaded;
  const given = await casesIn(folder);
  const config = settings === undefined ? given?.config : settingsIn(resolve(here, settings));
  const cases: PluginCases = { ...given, against, config };
  // Not at the top: a gateway never needs the suite.
  const { conformanceRules, rulesWithoutServer } = await import("../sdk/testing/rules.ts");
  const isServed = against !== undefined || given?.fake !== undefined;
  const isAlone = plugin.defaultUrl === undefined;
  const rules =
    isServed || isAlone ? conformanceRules(plugin, cases) : rulesWithoutServer(plugin, cases);
  const where = against === undefined ? "" : `, against ${against}`;
  stdout.write(`${plugin.title} (${plugin.name} ${plugin.version})${where}\n`);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const rule of rules.filter(({ name }) => name.includes(only))) {
    const outcome = await tried(rule);
    counts[outcome.kind]++;
    stdout.write(lineOf(rule, outcome));
  }
  const { passed, failed, skipped } = counts;
  stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} do not apply\n`);
  if (!isServed && !isAlone) stdout.write(`${NO_FAKE}\n`);
  return failed === 0 && passed > 0 ? EXIT.ok : EXIT.failed;
}

type Outcome =
  | { readonly kind: "passed" }
  | { readonly kind: "failed" | "skipped"; readonly reason: string };

async function tried({ skip, check }: Rule): Promise<Outcome> {
  if (skip !== undefined) return { kind: "skipped", reason: skip };
  try {
    await check();
    return { kind: "passed" };
  } catch (error) {
    return { kind: "failed", reason: messageOf(error) };
  }
}

function lineOf({ name }: Rule, outcome: Outcome): string {
  switch (outcome.kind) {
    case "passed":
      return `  ok    ${name}\n`;
    case "skipped":
      return `  -     ${name} (does not apply: ${outcome.reason})\n`;
    case "failed":
      return `  FAIL  ${name}\n          ${outcome.reason.replaceAll("\n", "\n          ")}\n`;
  }
}

function wishesIn(argv: string[]) {
  const text = { type: "string" } as const;
  let parsed: ReturnType<typeof parse> | undefined;
  try {
    parsed = parseArgs({
      args: argv,
      allowPositionals: true,
      options: { against: text, settings: text, only: text },
    });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
  const { values, positionals } = parsed;
  const [use, ...others] = positionals;
  if (use === undefined || others.length > 0) throw new UsageError("Name one plugin to test.");
  const { against } = values;
  if (against !== undefined && !/^https?:\/\/./.test(against)) {
    throw new UsageError(`--against "${against}" must be like http://127.0.0.1:7860`);
  }
  return { use, ...values };
}

async function casesIn(folder: string): Promise<PluginCases | undefined> {
  const file = CASES_FILES.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (file === undefined) return undefined;
  const module: { default?: PluginCases } = await import(pathToFileURL(file).href);
  if (typeof module.default === "object") return module.default;
  throw new CommandError(`${file} has no default export with the plugin's cases`);
}

function settingsIn(path: string): Record<string, unknown> {
  try {
    const settings: unknown = parse(readFileSync(path, "utf8"));
    if (typeof settings === "object" && settings !== null) return { ...settings };
  } catch (error) {
    throw new CommandError(`--settings: ${messageOf(error)}`);
  }
  throw new CommandError(`--settings: ${path} has no settings in it`);
}
