/**
 * The house of docs/architecture.md as rules. Each takes the source files and names every breach.
 */
import { posix } from "node:path";
import { cyclesIn, type Import, importsOf, runningCode, type SourceFile } from "./source.ts";

/** Breaches, each with its file and what to do. */
export type Rule = (files: readonly SourceFile[]) => string[];

/** From the ground up: a room may use those below it, and nothing above. */
const FLOORS: readonly (readonly string[])[] = [
  ["sdk"],
  ["errors", "ids", "clock", "log", "strict-form", "validation", "version", "runtime"],
  ["storage", "events", "config"],
  ["jobs", "vram", "processes", "host", "auth", "artifacts"],
  ["http", "console"],
  ["wiring-gpu", "wiring", "gpus", "banner", "cli"],
  ["kernel"],
  ["main"],
];
/** Rooms on these floors do not know each other: the kernel hands them ports. */
const SIBLING_FLOORS = [2, 3];
/** Declarations without behaviour that every room may name. */
const SHARED = ["core/http/route.ts", "core/auth/principal.ts", "core/auth/scopes.ts"];
/** Routes, sockets and event streams are where a room meets HTTP. */
const HTTP_SIDE = /(^|[/-])(routes|socket|sse)\.ts$/;
/** The engine runs in a worker that has no SDK; see docs/decisions. */
const ENGINES: Readonly<Record<string, string>> = {
  "plugins/espeak/engine.ts": "@echogarden/espeak-ng-emscripten",
  "plugins/espeak/worker.ts": "@echogarden/espeak-ng-emscripten",
};
const PURE = ["core/vram/planner.ts", "core/jobs/state.ts"];

const allImports = (files: readonly SourceFile[]): Import[] => files.flatMap(importsOf);
const inCore = ({ path }: SourceFile): boolean => path.startsWith("core/");
const inPlugins = ({ path }: SourceFile): boolean => path.startsWith("plugins/");
const shown = ({ from, to }: Import): string => `${from} imports ${to}`;

/** "core/jobs/store.ts" -> "jobs", "core/log.ts" -> "log". */
function roomOf(path: string): string {
  return (path.split("/")[1] ?? "").replace(/\.ts$/, "");
}

function floorOf(path: string): number {
  return SHARED.includes(path) ? 1 : FLOORS.findIndex((rooms) => rooms.includes(roomOf(path)));
}

export const everyFileHasARoom: Rule = (files) =>
  files
    .filter((file) => inCore(file) && floorOf(file.path) === -1)
    .map(({ path }) => `${path} is in no room of the house: put it in one, or name it in FLOORS`);

export const directions: Rule = (files) =>
  allImports(files.filter(inCore))
    .filter(({ to }) => to.startsWith("core/"))
    .flatMap((edge) => {
      const [from, to] = [floorOf(edge.from), floorOf(edge.to)];
      if (roomOf(edge.from) === roomOf(edge.to)) return [];
      const meetsHttp = roomOf(edge.to) === "http" && HTTP_SIDE.test(edge.from);
      if (to > from && !meetsHttp) return [`${shown(edge)}, which is on a floor above it`];
      if (to !== from || !SIBLING_FLOORS.includes(from)) return [];
      return [`${shown(edge)}: siblings do not know each other, take a port from the kernel`];
    });

export const modulesAreEnteredByTheirDoor: Rule = (files) =>
  allImports(files.filter(inCore))
    .filter(({ from, to }) => to.startsWith("core/") && roomOf(from) !== roomOf(to))
    // Not the SDK: its door is the public one of plugins, and the kernel uses more than they may.
    .filter(({ to }) => to.split("/").length > 2 && roomOf(to) !== "sdk")
    .filter(({ to }) => posix.basename(to) !== "mod.ts" && !SHARED.includes(to))
    .map((edge) => `${shown(edge)}: enter the module by its mod.ts`);

export const everyModuleHasADoor: Rule = (files) => {
  const paths = new Set(files.map(({ path }) => path));
  const modules = new Set(
    files.filter(inCore).flatMap(({ path }) => /^core\/[^/]+(?=\/)/.exec(path)?.[0] ?? []),
  );
  return [...modules]
    .filter((module) => !paths.has(`${module}/mod.ts`))
    .map((module) => `${module} has no mod.ts`);
};

export const coreKnowsNoPlugin: Rule = (files) => {
  const names = [...new Set(files.filter(inPlugins).map(({ path }) => path.split("/")[1] ?? ""))];
  const imports = allImports(files.filter(inCore))
    .filter(({ to }) => to.startsWith("plugins/"))
    .map((edge) => `${shown(edge)}: core never imports a plugin`);
  const branches = files.filter(inCore).flatMap(({ path, text }) => {
    const code = new Bun.Transpiler({ loader: "ts" }).transformSync(text);
    return names
      .filter((name) => new RegExp(`(===?|case) ?["'\`]${name}["'\`]`).test(code))
      .map((name) => `${path} branches on the plugin's name "${name}"`);
  });
  return [...imports, ...branches];
};

export const pluginsUseOnlyTheSdk: Rule = (files) =>
  allImports(files.filter(inPlugins))
    .filter(({ from, to }) => {
      const own = from.split("/").slice(0, 2).join("/");
      if (to === "switchyard/sdk" || to.startsWith("node:") || to.startsWith(`${own}/`))
        return false;
      return ENGINES[from] !== to;
    })
    .map((edge) => `${shown(edge)}: a plugin uses switchyard/sdk, its own files and node:*`);

/** Each package has one home. */
const HOMES = [
  { packages: /^(elysia|@elysiajs\/.*)$/, home: /^core\/http\// },
  { packages: /^drizzle-orm(\/|$)/, home: /^core\/storage\/|^core\/[^/]+\/store\.ts$/ },
  { packages: /^(bun|bun:.*)$/, home: /^core\/runtime\// },
  { packages: /^pino$/, home: /^core\/log\.ts$/ },
  { packages: /^mitt$/, home: /^core\/events\// },
  { packages: /^zx(\/|$)/, home: /^core\/runtime\/command\.ts$/ },
] as const;

export const packagesStayInTheirHome: Rule = (files) =>
  allImports(files)
    .filter(({ from, to }) => HOMES.some((rule) => rule.packages.test(to) && !rule.home.test(from)))
    .map(shown);

export const runtimesAreNamedInOnePlace: Rule = (files) =>
  files
    .filter(({ path }) => !path.startsWith("core/runtime/"))
    .filter(({ text }) => /(?<![\w.])(Bun|Deno)\s*[.[)]/.test(runningCode(text)))
    .map(({ path }) => `${path} uses Bun or Deno: only core/runtime may`);

export const oneHttpClient: Rule = (files) =>
  files
    .filter(({ path }) => path !== "core/sdk/http-client.ts")
    .filter(({ text }) => {
      // A method that is called fetch, `fetch(request) {`, is not a call.
      const code = runningCode(text).replace(/\bfetch\s*\([^()]*\)\s*\{/g, "");
      return /(?<![\w.])fetch\s*\(|\bglobalThis\s*\.\s*fetch\b/.test(code);
    })
    .map(({ path }) => `${path} calls fetch: use the HttpClient of the SDK`);

export const planningIsPure: Rule = (files) =>
  files
    .filter(({ path }) => PURE.includes(path))
    .flatMap((file) => {
      const impure =
        /\b(Date|Math\.random|console|process|performance|setTimeout|setInterval|fetch|crypto)\b/;
      const used = impure.exec(runningCode(file.text))?.[0];
      const imports = importsOf(file).filter(({ to, typeOnly }) => !typeOnly && !PURE.includes(to));
      return [
        ...imports.map((edge) => `${shown(edge)}: a pure file imports only types`),
        ...(used === undefined ? [] : [`${file.path} uses ${used}: time and chance are arguments`]),
      ];
    });

export const noImportCycles: Rule = (files) =>
  cyclesIn(allImports(files).filter(({ relative }) => relative)).map(
    (cycle) => `import cycle: ${cycle.join(" <-> ")}`,
  );

export const filesAreShort: Rule = (files) =>
  files.flatMap(({ path, text }) => {
    const limit = path.startsWith("plugins/") ? 100 : 350;
    const lines = text.trimEnd().split("\n");
    return lines.length > limit ? [`${path} has ${lines.length} lines, at most ${limit}`] : [];
  });

const BANNED = ["manager", "util", "utils", "helper", "helpers", "common", "data", "info"];
const EXPORTED =
  /^export (?:declare )?(?:async )?(?:const|function\*?|class|interface|type) (\w+)/gm;

export const namesSaySomething: Rule = (files) =>
  files.flatMap(({ path, text }) => {
    const words = path.replace(/\.\w+$/, "").split(/[/\-.]/);
    const word = words.find((part) => BANNED.includes(part));
    const odd = /[A-Z_]/.test(posix.basename(path)) ? [`${path} is not kebab-case`] : [];
    const exported = [...text.matchAll(EXPORTED)].map(([, name = ""]) => name).filter(isBanned);
    return [
      ...(word === undefined ? [] : [`${path}: "${word}" says nothing, name what it is`]),
      ...odd,
      ...exported.map((name) => `${path} exports ${name}: a banned name, see docs/architecture.md`),
    ];
  });

function isBanned(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[ _]/);
  // "process" and "handle" are fine as nouns: only the verb, before a capital, is banned.
  if (/^(handle|process)[A-Z]/.test(name)) return true;
  return words.length === 1
    ? BANNED.includes(words[0] ?? "")
    : words.some((word) => BANNED.includes(word) && word !== "data");
}

export const oneStyle: Rule = (files) =>
  files.flatMap(({ path, text }) => {
    const code = withoutComments(text);
    const found: string[] = [];
    if (/^\s*(export )?(const )?enum \w/m.test(code)) found.push("an enum: use a union");
    if (/^\s*(export )?namespace \w/m.test(code)) found.push("a namespace: use a module");
    const parent = /\bclass \w+ extends (\w+)/.exec(code)?.[1];
    if (parent !== undefined && !parent.endsWith("Error")) found.push(`inheritance of ${parent}`);
    const mayDefault = /^plugins\/[^/]+\/plugin\.ts$/.test(path);
    if (!mayDefault && /^export default\b/m.test(code)) found.push("a default export");
    return found.map((what) => `${path} has ${what}`);
  });

/** Comments may talk about anything. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}
