/**
 * The architecture, asserted: who may know whom, which package lives where, how long a file may be.
 * The rules stand in structure/rules.ts; each is also shown a planted breach, which it must see.
 */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as rules from "./structure/rules.ts";
import { blank, cyclesIn, importsOf, type SourceFile } from "./structure/source.ts";

const ROOT = join(import.meta.dir, "..");

function sources(pattern: string): SourceFile[] {
  return [...new Bun.Glob(pattern).scanSync(ROOT)]
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !path.includes("node_modules/"))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

const core = sources("core/**/*.ts");
const plugins = sources("plugins/**/*.ts").filter(({ path }) => !path.endsWith(".d.ts"));
const product = [...core, ...plugins];
const file = (path: string, text: string): SourceFile => ({ path, text });

interface Row {
  readonly rule: rules.Rule;
  readonly says: string;
  readonly planted: readonly SourceFile[];
}

const ROWS: readonly Row[] = [
  {
    says: "every file of core stands in a room of the house",
    rule: rules.everyFileHasARoom,
    planted: [file("core/attic/x.ts", "")],
  },
  {
    says: "imports go from the upper floors to the lower ones",
    rule: rules.directions,
    planted: [file("core/storage/x.ts", 'import { a } from "../jobs/mod.ts";')],
  },
  {
    says: "siblings do not know each other",
    rule: rules.directions,
    planted: [file("core/jobs/x.ts", 'import type { A } from "../vram/mod.ts";')],
  },
  {
    says: "only routes and sockets know HTTP",
    rule: rules.directions,
    planted: [file("core/jobs/runner.ts", 'export * from "../http/mod.ts";')],
  },
  {
    says: "a module is entered by its mod.ts",
    rule: rules.modulesAreEnteredByTheirDoor,
    planted: [file("core/kernel.ts", 'import { a } from "./jobs/store.ts";')],
  },
  {
    says: "every module has a mod.ts",
    rule: rules.everyModuleHasADoor,
    planted: [file("core/jobs/store.ts", "")],
  },
  {
    says: "core imports no plugin",
    rule: rules.coreKnowsNoPlugin,
    planted: [file("core/host/x.ts", 'const p = await import("../../plugins/a/plugin.ts");')],
  },
  {
    says: "core does not branch on a plugin's name",
    rule: rules.coreKnowsNoPlugin,
    planted: [
      file("plugins/ollama/plugin.ts", ""),
      file("core/host/x.ts", 'export const a = (use: string) => use === "ollama";'),
    ],
  },
  {
    says: "a plugin uses the SDK, its own files and node:*",
    rule: rules.pluginsUseOnlyTheSdk,
    planted: [file("plugins/a/plugin.ts", 'import { Type } from "@sinclair/typebox";')],
  },
  {
    says: "a plugin does not reach into another one",
    rule: rules.pluginsUseOnlyTheSdk,
    planted: [file("plugins/a/plugin.ts", 'import { b } from "../b/plugin.ts";')],
  },
  {
    says: "Elysia, drizzle, pino and mitt stay in their homes",
    rule: rules.packagesStayInTheirHome,
    planted: [file("core/jobs/routes.ts", 'import { Elysia } from "elysia";')],
  },
  {
    says: "Bun and Deno are named only in core/runtime",
    rule: rules.runtimesAreNamedInOnePlace,
    planted: [file("core/jobs/x.ts", "export const a = () => Bun.file('x');")],
  },
  {
    says: "there is one HTTP client",
    rule: rules.oneHttpClient,
    planted: [file("plugins/a/plugin.ts", "export const a = async () => await fetch('http://x');")],
  },
  {
    says: "planning and the state machine are pure",
    rule: rules.planningIsPure,
    planted: [file("core/vram/planner.ts", "export const now = () => Date.now();")],
  },
  {
    says: "a pure file imports only types",
    rule: rules.planningIsPure,
    planted: [file("core/jobs/state.ts", 'import { log } from "../log.ts";')],
  },
  {
    says: "there are no import cycles",
    rule: rules.noImportCycles,
    planted: [
      file("core/jobs/a.ts", 'import { b } from "./b.ts";'),
      file("core/jobs/b.ts", 'import { c } from "./c.ts";'),
      file("core/jobs/c.ts", 'import type { A } from "./a.ts";'),
    ],
  },
  {
    says: "a plugin's file has at most 100 lines, others 350",
    rule: rules.filesAreShort,
    planted: [file("plugins/a/plugin.ts", "x;\n".repeat(101))],
  },
  {
    says: "file names say something",
    rule: rules.namesSaySomething,
    planted: [file("core/jobs/job-utils.ts", "")],
  },
  {
    says: "exported names say something",
    rule: rules.namesSaySomething,
    planted: [file("core/jobs/x.ts", "export function handleJob() {}")],
  },
  {
    says: "no enums, namespaces, inheritance or default exports",
    rule: rules.oneStyle,
    planted: [file("core/jobs/x.ts", "export class A extends B {}")],
  },
];

describe("the house", () => {
  for (const { says, rule } of ROWS) {
    test(says, () => expect(rule(product)).toEqual([]));
  }

  test("its files were found", () => {
    expect(core.length).toBeGreaterThan(50);
    expect(plugins.length).toBeGreaterThan(2);
  });
});

describe("the rules see a planted breach", () => {
  for (const { says, rule, planted } of ROWS) {
    test(says, () => expect(rule(planted)).toHaveLength(1));
  }
});

describe("reading source", () => {
  test("imports in comments and strings do not count, others do", () => {
    const text = [
      '// import "./no.ts";',
      "/* import 'no'; */ import {",
      '  type A, b } from "./yes.ts";',
      'const s = "x"; export { type C } from "node:fs";',
      `const t = \`a \${f(\`}\`)} // b\`; import('./later.ts');`,
    ].join("\n");
    expect(importsOf(file("core/a/x.ts", text))).toEqual([
      { from: "core/a/x.ts", to: "core/a/yes.ts", relative: true, typeOnly: false },
      { from: "core/a/x.ts", to: "node:fs", relative: false, typeOnly: true },
      { from: "core/a/x.ts", to: "core/a/later.ts", relative: true, typeOnly: false },
    ]);
  });

  test("words in strings, templates and patterns are blanked, code in a template is not", () => {
    const text = `a('fetch(x)', /[/]fetch(/, \`fetch( \${fetch(1)} fetch(\`, "\\"fetch("); // fetch(`;
    expect(blank(text, { strings: true }).match(/fetch/g)).toHaveLength(1);
  });

  test("two separate cycles are two", () => {
    const edge = (from: string, to: string) => ({ from, to, relative: true, typeOnly: false });
    const edges = [edge("a", "b"), edge("b", "a"), edge("b", "c"), edge("c", "d"), edge("d", "c")];
    expect(cyclesIn(edges).sort()).toEqual([
      ["a", "b"],
      ["c", "d"],
    ]);
  });
});

describe("the repository", () => {
  test("names no package host and no folder of one machine", () => {
    const hosts = ["npmjs.org", "yarnpkg.com", "debian.org", "golang.org", "pythonhosted.org"];
    // Put together here, so that this file does not find itself.
    const forbidden = [
      ...hosts.map((host) => `(registry|deb|proxy|files)\\.${host.replace(".", "\\.")}`),
      `/${"work"}/`,
      `/${"home"}/[a-z]+/`,
      `/${"Users"}/[A-Za-z]+/`,
    ].join("|");
    const pattern = new RegExp(forbidden);
    const found = trackedFiles().filter((path) => {
      const bytes = readFileSync(join(ROOT, path));
      return !bytes.subarray(0, 1024).includes(0) && pattern.test(bytes.toString("utf8"));
    });
    expect(found).toEqual([]);
  });

  test("every dependency is pinned to one version", () => {
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(ROOT, "package.json"), "utf8"),
    );
    const versions = Object.entries({ ...dependencies, ...devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(`${version}`))).toEqual([]);
  });

  test("no test runs alone, and a test that may be skipped says what it needs", () => {
    const tests = sources("tests/**/*.test.ts").filter(({ path }) => !path.includes("structure"));
    expect(tests.filter(({ text }) => /\.only\(/.test(text)).map(({ path }) => path)).toEqual([]);
    const silent = tests.filter(
      ({ text }) => /\.skip(If)?\(/.test(text) && !/needs |skipped: /.test(text),
    );
    expect(silent.map(({ path }) => path)).toEqual([]);
  });
});

/** What is committed or would be; without git, nothing is ignored and the check is left to CI. */
function trackedFiles(): string[] {
  const listed = spawnSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  return (listed.stdout ?? "")
    .split("\0")
    .filter((path) => path !== "" && existsSync(join(ROOT, path)));
}
