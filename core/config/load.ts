/**
 * Reads `gateway.yaml`: YAML, then the environment, then the schema, then the rules between
 * settings. Nothing throws: every problem is collected, so that one start shows all of them.
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type TProperties, Type as t } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { adviseKey, type CheckContext, check } from "./check.ts";
import { type Environment, expand } from "./expand.ts";
import { inOrder, keyOf, type Path, type Problem } from "./problems.ts";
import { checkRules, inlineCredentials, inlineMessage, urlProblem } from "./rules.ts";
import { type BackendConfig, BackendSchema, type GatewayConfig, GatewaySchema } from "./schema.ts";
import { collectSecrets } from "./secrets.ts";
import type { Shape } from "./shape.ts";
import { emptyMap, lineOf, type MapNode, parseSource, type SourceNode, scalar } from "./source.ts";

const PROJECT_FOLDER = fileURLToPath(new URL("../..", import.meta.url));

const SILENT: CheckContext = { report: () => {}, unknownKey: () => "" };

export interface LoadOptions {
  readonly path: string;
  readonly env: Environment;
}

/** A plugin's own settings of one backend. */
export interface BackendSettings {
  readonly settings: Record<string, unknown>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface LoadedConfig {
  /**
   * With every default. Where there are problems, wrong values are replaced by their defaults and
   * backends without a plugin are left out, so that the rest can still be checked.
   */
  readonly config: GatewayConfig;
  readonly problems: readonly Problem[];
  /** What works but should be changed. */
  readonly warnings: readonly Problem[];
  /** Checks what stands beside the kernel's settings of a backend against its plugin's own. */
  backend(name: string, ownSchema: TProperties): BackendSettings;
  /** The line of `["backends", "comfyui"]`, or of the closest part of it that the file has. */
  line(path: Path): number | undefined;
  /** Texts that the log must never show. */
  readonly secrets: readonly string[];
}

/** Where the configuration stands: SWITCHYARD_CONFIG, else this program's `config/gateway.yaml`. */
export function configPath(env: Environment): string {
  const chosen = env.SWITCHYARD_CONFIG;
  return chosen ? resolve(chosen) : join(PROJECT_FOLDER, "config", "gateway.yaml");
}

export function loadConfig({ path, env }: LoadOptions): LoadedConfig {
  const problems: Problem[] = [];
  const report = (problem: Problem): void => void problems.push(problem);
  const text = readText(path, report);
  const source = parseSource(text ?? "");
  for (const problem of source.problems) report(problem);

  // What stands on a line with a YAML error is a guess; to complain about it would only confuse.
  const isBroken = source.brokenLines.size > 0;
  const reportSure = (problem: Problem): void => {
    const isGuess = problem.line !== undefined && source.brokenLines.has(problem.line);
    if (!isGuess && !(isBroken && problem.message.startsWith("required"))) report(problem);
  };
  const expanded = expand(source.root, env, reportSure);
  const root = withOverrides(expanded, env);
  const context: CheckContext = { report: reportSure, unknownKey: adviseInFile };
  const asWritten = complete(check(GatewaySchema, root, [], context), env);
  for (const problem of checkRules(asWritten, root)) reportSure(problem);
  const config = withoutWrongUrls(asWritten);

  const backends = mapAt(root, "backends");
  return {
    config,
    problems: inOrder(problems),
    warnings: inlineCredentials(backends),
    backend: (name, ownSchema) => checkOwn(mapAt(backends, name), name, ownSchema),
    line: (wanted) => lineOf(root, wanted),
    secrets: collectSecrets(root),
  };
}

function readText(path: string, report: CheckContext["report"]): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    const message =
      code === "ENOENT"
        ? "no such file; copy config/gateway.example.yaml there, or set SWITCHYARD_CONFIG"
        : `cannot be read (${code}); is it a file that this user may read?`;
    report({ key: "", message });
    return undefined;
  }
}

/** SWITCHYARD_HOST and SWITCHYARD_PORT take the file's place; empty ones count as not set. */
function withOverrides(root: SourceNode, env: Environment): SourceNode {
  const named = { host: "SWITCHYARD_HOST", port: "SWITCHYARD_PORT" };
  const given = Object.entries(named).filter(([, variable]) => env[variable]);
  const http = mapAt(root, "http");
  if (given.length === 0 || !isSection(root)) return root;
  if (root.kind === "map" && !http && !isSection(root.entries.get("http"))) return root;
  const entries = new Map(http?.entries);
  for (const [key, variable] of given) {
    const line = entries.get(key)?.line;
    entries.set(key, { ...scalar(env[variable], line), override: variable });
  }
  const whole = root.kind === "map" ? root : emptyMap();
  const replaced: MapNode = { kind: "map", line: http?.line, entries };
  return { ...whole, entries: new Map([...whole.entries, ["http", replaced]]) };
}

/** What is neither is a mistake, which an override must not hide. */
const isSection = (node: SourceNode | undefined): boolean =>
  !node || node.kind === "map" || (node.kind === "scalar" && node.value === null);

/** Turns the checked tree into the kernel's config: devices, timeouts and folders resolved. */
function complete(checked: unknown, env: Environment): GatewayConfig {
  const file = checked ?? check(GatewaySchema, emptyMap(), [], SILENT);
  if (!Value.Check(GatewaySchema, file)) {
    const first = Value.Errors(GatewaySchema, file).First();
    throw new Error(`bug in core/config: accepted ${first?.path}, but ${first?.message}`);
  }
  const [firstDevice = "gpu0"] = Object.keys(file.devices);
  const kernelKeys = Object.keys(BackendSchema.properties);
  const backends: [string, BackendConfig][] = Object.entries(file.backends).map(
    ([name, backend]) => {
      const kept = { ...backend };
      for (const key of Object.keys(kept)) {
        if (!kernelKeys.includes(key)) Reflect.deleteProperty(kept, key);
      }
      const filled: BackendConfig = {
        ...kept,
        device: backend.device ?? firstDevice,
        queue_timeout_ms: backend.queue_timeout_ms ?? file.jobs.queue_timeout_ms,
        attempt_timeout_ms: backend.attempt_timeout_ms ?? file.jobs.attempt_timeout_ms,
        stall_timeout_ms: backend.stall_timeout_ms ?? file.jobs.stall_timeout_ms,
      };
      return [name, filled];
    },
  );
  const folder = env.SWITCHYARD_DATA
    ? resolve(env.SWITCHYARD_DATA)
    : resolve(PROJECT_FOLDER, file.storage.folder.replace(/^~(?=\/|$)/, homedir()));
  return { ...file, storage: { ...file.storage, folder }, backends: Object.fromEntries(backends) };
}

/** A wrong URL is reported by then; nothing may be opened with it. */
function withoutWrongUrls(config: GatewayConfig): GatewayConfig {
  const backends = Object.entries(config.backends).map(([name, { url, ...rest }]) => {
    const isRight = url !== undefined && urlProblem(url) === undefined;
    return [name, isRight ? { ...rest, url } : rest];
  });
  return { ...config, backends: Object.fromEntries(backends) };
}

function checkOwn(
  backend: MapNode | undefined,
  name: string,
  ownSchema: TProperties,
): BackendSettings {
  const problems: Problem[] = [];
  const kernelKeys = Object.keys(BackendSchema.properties);
  const own = [...(backend?.entries ?? [])].filter(([key]) => !kernelKeys.includes(key));
  const node: MapNode = { kind: "map", line: backend?.line, entries: new Map(own) };
  const context: CheckContext = {
    report: (problem) => void problems.push(problem),
    unknownKey: (path, known) =>
      adviseKey(path.at(-1) ?? "", path.length === 3 ? [...known, ...kernelKeys] : known),
  };
  const shape: Shape = t.Object(ownSchema, { additionalProperties: false });
  const path = ["backends", name];
  const settings = check({ ...shape, type: "object" }, node, path, context);
  const warnings = own.flatMap(([key, value]) => {
    const isInline = value.kind === "scalar" && value.variables.length === 0 && value.value;
    if (!isInline || ownSchema[key]?.secret !== true) return [];
    const variable = `${name}_${key}`.toUpperCase().replace(/[^A-Z0-9]/g, "_");
    return [{ line: value.line, key: keyOf([...path, key]), message: inlineMessage(variable) }];
  });
  return { settings: isRecord(settings) ? settings : {}, problems: inOrder(problems), warnings };
}

/** A right key in the wrong section is worth more than a similar one in this section. */
function adviseInFile(path: Path, known: readonly string[]): string {
  const name = path.at(-1) ?? "";
  const places = Object.entries(GatewaySchema.properties).flatMap(([section, shape]) =>
    "properties" in shape && name in shape.properties ? [`${section}.${name}`] : [],
  );
  const [place] = places;
  return place ? `unknown key; did you mean \`${place}\`?` : adviseKey(name, known);
}

function mapAt(node: SourceNode | undefined, key: string): MapNode | undefined {
  const child = node?.kind === "map" ? node.entries.get(key) : undefined;
  return child?.kind === "map" ? child : undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
