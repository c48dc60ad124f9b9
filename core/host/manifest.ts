/** Whether a loaded module really is a plugin: checked before any of its code runs. */
import { KindGuard } from "@sinclair/typebox";
import { AUDIO_FORMATS } from "../sdk/formats.ts";
import { type AnyPlugin, API_VERSION } from "../sdk/plugin.ts";

const NAME = /^[a-z][a-z0-9-]*$/;
const CAPABILITY = /^[a-z]+\.[a-z]+$/;
const ROUTE = /^(GET|POST|DELETE) \/[A-Za-z0-9_\-/:]*$/;
const VERSION = /^\d+\.\d+\.\d+/;

export type ManifestCheck =
  | { readonly ok: true; readonly plugin: AnyPlugin }
  | { readonly ok: false; readonly problems: readonly string[] };

export function checkManifest(value: unknown): ManifestCheck {
  if (!isRecord(value)) {
    return { ok: false, problems: ["its module has no default export that is a plugin object"] };
  }
  const problems = [
    ...ownFields(value),
    ...capabilityProblems(value.capabilities),
    ...endpointProblems(value.routes),
  ];
  return problems.length === 0
    ? { ok: true, plugin: value as unknown as AnyPlugin }
    : { ok: false, problems };
}

function ownFields(plugin: Record<string, unknown>): string[] {
  const problems: string[] = [];
  const need = (ok: boolean, problem: string) => ok || problems.push(problem);
  need(
    plugin.apiVersion === API_VERSION,
    `apiVersion is ${plugin.apiVersion}, this gateway speaks ${API_VERSION}`,
  );
  need(matches(plugin.name, NAME), "name must be lower case letters, digits and hyphens");
  need(matches(plugin.version, VERSION), "version must be like 1.2.3");
  need(isText(plugin.title), "title must be a text");
  need(isText(plugin.summary), "summary must be a text");
  need(plugin.defaultUrl === undefined || isText(plugin.defaultUrl), "defaultUrl must be a text");
  need(typeof plugin.health === "function", "health must be a function");
  need(
    isRecord(plugin.config) && Object.values(plugin.config).every(KindGuard.IsSchema),
    "config must map names to schemas made with t",
  );
  for (const hook of ["offers", "models", "residents", "load", "free", "close"]) {
    const given = plugin[hook];
    need(given === undefined || typeof given === "function", `${hook} must be a function`);
  }
  const { frees } = plugin;
  need(
    frees === undefined || frees === "model" || frees === "everything",
    'frees must be "model" or "everything"',
  );
  need(frees === undefined || plugin.free !== undefined, "frees says what `free` does: give both");
  return problems;
}

function capabilityProblems(capabilities: unknown): string[] {
  if (!isRecord(capabilities)) return ["capabilities must be an object"];
  return Object.entries(capabilities).flatMap(([kind, capability]) => {
    const problems: string[] = [];
    const need = (ok: boolean, problem: string) => ok || problems.push(`${kind}: ${problem}`);
    need(CAPABILITY.test(kind), "a capability is named noun.verb");
    if (!isRecord(capability)) return [`${kind}: must be an object`];
    need(matches(capability.route, ROUTE), 'route must be like "POST /generate/image"');
    need(KindGuard.IsObject(capability.input), "input must be t.Object(…)");
    need(typeof capability.run === "function", "run must be a function");
    for (const hook of ["vram", "check", "takes", "options"]) {
      const given = capability[hook];
      need(given === undefined || typeof given === "function", `${hook} must be a function`);
    }
    const { formats } = capability;
    need(
      formats === undefined || (Array.isArray(formats) && formats.length > 0),
      "formats must be a list with at least one format",
    );
    const odd = Array.isArray(formats) ? formats.filter((name) => !isFormat(name)) : [];
    need(odd.length === 0, `formats has ${odd.join(", ")}; known are ${AUDIO_FORMATS.join(", ")}`);
    return problems;
  });
}

function endpointProblems(routes: unknown): string[] {
  if (routes === undefined) return [];
  if (!isRecord(routes)) return ["routes must be an object"];
  return Object.entries(routes).flatMap(([name, endpoint]) => {
    if (!isRecord(endpoint)) return [`${name}: must be an object`];
    const problems: string[] = [];
    const need = (ok: boolean, problem: string) => ok || problems.push(`${name}: ${problem}`);
    need(matches(endpoint.route, ROUTE), 'route must be like "GET /llm/models"');
    need(KindGuard.IsObject(endpoint.input), "input must be t.Object(…)");
    need(isText(endpoint.scope), "scope must name the scope that a key needs");
    need(typeof endpoint.handle === "function", "handle must be a function");
    return problems;
  });
}

const isFormat = (value: unknown): boolean => AUDIO_FORMATS.some((name) => name === value);
const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
const matches = (value: unknown, pattern: RegExp) => isText(value) && pattern.test(value);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
