import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import {
  BackendSchema,
  GatewaySchema,
  jsonSchema,
  loadConfig,
  type PluginSettings,
} from "../../../core/config/mod.ts";
import { t } from "../../../core/sdk/mod.ts";
import { load } from "./file.ts";

const project = resolve(import.meta.dir, "../../..");
const example = readFileSync(join(project, "config/gateway.example.yaml"), "utf8");
const lines = example.split("\n");
/** With the insides of `#name:` blocks as they are when somebody uses them. */
const opened = lines.map((line, index) => (blockOf(index) ? line.replace("#", "") : line));

const names = readdirSync(join(project, "plugins")).filter((name) =>
  existsSync(join(project, "plugins", name, "plugin.ts")),
);
const plugins: PluginSettings[] = await Promise.all(
  names.map(
    async (name) =>
      (await import(join(project, "plugins", name, "plugin.ts"))).default as PluginSettings,
  ),
);

interface Addressed {
  readonly defaultUrl?: string;
}

interface Setting {
  readonly path: readonly string[];
  readonly schema: Record<string, any>;
}

/** Every setting that has no settings under it. */
function settingsOf(properties: Record<string, any>, path: readonly string[]): Setting[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const here = [...path, name];
    if (schema.properties) return settingsOf(schema.properties, here);
    return [{ path: here, schema }];
  });
}

const { devices, backends: _backends, ...sections } = GatewaySchema.properties;
const [device] = Object.values(devices.patternProperties) as any[];
const kernel = [
  ...settingsOf(sections, []),
  ...settingsOf(device.properties, ["devices", "gpu0"]),
  ...settingsOf(BackendSchema.properties, ["backends", "comfyui"]),
];
const own = plugins.flatMap(({ name, config }) => eachOnce(settingsOf(config, ["backends", name])));
const ownParts = plugins.flatMap(({ name, config }) => partsOf(config, ["backends", name]));

/** Without nested settings that are the same as one above, as `path` in each call to a server. */
function eachOnce(settings: readonly Setting[]): Setting[] {
  const known = new Set<string>();
  return settings.filter(({ path, schema }) => {
    const mark = `${path.length} ${path.at(-1)} ${JSON.stringify(schema)}`;
    const isKnown = path.length > 3 && known.has(mark);
    known.add(mark);
    return !isKnown;
  });
}

/** Every setting that has settings under it. */
function partsOf(properties: Record<string, any>, path: readonly string[]): Setting[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    if (!schema.properties) return [];
    const here = [...path, name];
    return [{ path: here, schema }, ...partsOf(schema.properties, here)];
  });
}

/** The names that the entries of a list or of a map have. */
function namesInEntries({ items, patternProperties = {} }: Record<string, any>): string[] {
  const entries = [items, ...Object.values<any>(patternProperties)];
  return entries.flatMap((entry) => Object.keys(entry?.properties ?? {}));
}

/** The line of a setting, active or written as `#name: …`, within its section. */
function lineOf(path: readonly string[]): number {
  let from = 0;
  path.forEach((name, depth) => {
    const here = new RegExp(`^ {${depth * 2}}#?${name}:`);
    const offset = opened.slice(from).findIndex((line) => here.test(line));
    if (offset < 0) throw new Error(`${path.join(".")} is not in gateway.example.yaml`);
    from += offset + 1;
  });
  return from;
}

/** The prose directly above a line; settings that are commented out share it. */
function proseAbove(line: number): string {
  const indent = /^ */.exec(opened[line - 1]!)![0];
  let from = line - 1;
  while (opened[from - 1]?.startsWith(`${indent}#`)) from--;
  return opened.slice(from, line - 1).join("\n");
}

/** The line of the `#name:` to whose block a line of the form `#  …` belongs. */
function blockOf(index: number): number | undefined {
  const [, indent] = /^( *)#(?: {2}|$)/.exec(lines[index]!) ?? [];
  if (indent === undefined) return undefined;
  let head = index;
  while (/^ *#(?: {2}|$)/.test(lines[head]!) && lines[head]!.startsWith(`${indent}#`)) head--;
  return new RegExp(`^${indent}#\\w+:`).test(lines[head] ?? "") ? head : undefined;
}

/** A default as the file writes it. */
function shown(value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  return stringify(value, { collectionStyle: "flow", flowCollectionPadding: false }).trim();
}

/** A unit that a name ends in, such as ms of grace_ms. */
const UNITS: Record<string, string> = { ms: "ms", mib: "MiB", gib: "GiB", bytes: "bytes" };
const unitOf = (path: readonly string[]) => UNITS[path.at(-1)?.split("_").at(-1) ?? ""] ?? "";

/** Every variable that the file mentions. */
const env = Object.fromEntries(
  [...example.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => [name, "abc"]),
);

/** What a plugin wants of every backend, as the file has it. */
function wantedOf({ config }: PluginSettings, settings: Record<string, unknown>) {
  const { required = [] } = t.Object(config);
  const wanted = required.filter((key) => config[key]?.default === undefined);
  return Object.fromEntries(wanted.map((key) => [key, settings[key]]));
}

const valueAt = (value: any, path: readonly string[]) =>
  path.reduce((part, name) => part?.[name], value);

describe("gateway.example.yaml", () => {
  test("loads without problems or warnings", () => {
    const loaded = load(example);
    expect(loaded.problems).toEqual([]);
    expect(loaded.warnings).toEqual([]);
    for (const { name, config } of plugins)
      expect(loaded.backend(name, config).problems).toEqual([]);
  });

  test("loads also with any one of the settings that are commented out", () => {
    const alternatives = lines.flatMap((line, index) => (/^ *#\w+:/.test(line) ? [index] : []));
    expect(alternatives.length).toBeGreaterThan(20);
    for (const index of alternatives) {
      const name = /#(\w+):/.exec(lines[index]!)![1];
      const changed = [...lines];
      // The active line with the same name gives way.
      if (new RegExp(`^ *${name}:`).test(lines[index - 1]!)) changed[index - 1] = "";
      for (let at = index; at === index || blockOf(at) === index; at++) {
        changed[at] = changed[at]!.replace("#", "");
      }
      const loaded = load(changed.join("\n"), env);
      expect({ name, problems: loaded.problems }).toEqual({ name, problems: [] });
      expect({ name, warnings: loaded.warnings }).toEqual({ name, warnings: [] });
      for (const { name, config } of plugins) {
        expect(loaded.backend(name, config).problems).toEqual([]);
      }
    }
  });

  test.each(kernel.map(({ path, schema }) => [path.join("."), path, schema] as const))(
    "names %s with its default, unit and reason",
    (_key, path, schema) => {
      const prose = proseAbove(lineOf(path));
      expect(prose.length).toBeGreaterThan(20);
      if (path.at(-1) === "use") return;
      expect(prose).toContain("Default: ");
      if (schema.default === undefined) return;
      const unit = schema.unit ? ` ${schema.unit}` : "";
      const value = quoted(shown(schema.default) + unit);
      expect(prose).toMatch(new RegExp(`Default: ${value}( \\(|\\n|$)`));
    },
  );

  test.each(own.map(({ path, schema }) => [path.join("."), path, schema] as const))(
    "names the plugin's own %s with its default, unit and reason",
    (_key, path, schema) => {
      const prose = proseAbove(lineOf(path));
      expect(prose.length).toBeGreaterThan(20);
      expect(prose).toContain("Default: ");
      for (const name of namesInEntries(schema)) expect(prose).toMatch(new RegExp(`\\b${name}\\b`));
      expect(prose).toContain(unitOf(path));
      if (schema.default === undefined) return;
      expect(prose).toMatch(new RegExp(`Default: ${quoted(shown(schema.default))}( |\\n|$)`));
    },
  );

  test.each(ownParts.map(({ path }) => [path.join("."), path] as const))(
    "says what the plugin's own %s is for",
    (_key, path) => {
      expect(proseAbove(lineOf(path)).length).toBeGreaterThan(20);
    },
  );

  test("changes nothing: every value in it is the default", () => {
    const loaded = load(example);
    const byDefault = load("").config;
    for (const { path } of kernel.filter(({ path }) => path[0] !== "backends")) {
      expect([path, valueAt(loaded.config, path)]).toEqual([path, valueAt(byDefault, path)]);
    }
    for (const plugin of plugins) {
      const { name, config } = plugin;
      const { settings } = loaded.backend(name, config);
      const backend = { use: name, ...wantedOf(plugin, settings) };
      const plain = load(JSON.stringify({ backends: { [name]: backend } }));
      expect(settings).toEqual(plain.backend(name, config).settings);
    }
  });
});

describe("The schema", () => {
  test("describes every setting, and gives a unit to every name that ends in one", () => {
    const units: Record<string, string> = { ms: "ms", mib: "MiB", bytes: "bytes" };
    for (const { path, schema } of kernel) {
      expect([path, schema.description?.length > 15]).toEqual([path, true]);
      const suffix = path.at(-1)!.split("_").at(-1)!;
      if (path.at(-1) !== suffix)
        expect([path, schema.unit ?? units[suffix]]).toEqual([path, schema.unit]);
    }
  });

  test("knows no required setting beside a backend's plugin", () => {
    expect(load("backends: {a: {use: x}}").problems).toEqual([]);
  });
});

describe("gateway.yaml", () => {
  const path = join(project, "config/gateway.yaml");
  const text = readFileSync(path, "utf8");

  test("as it comes loads without problems, with three backends", () => {
    const { config, problems, warnings } = loadConfig({ path, env: {} });
    expect(problems).toEqual([]);
    expect(warnings).toEqual([]);
    expect(Object.keys(config.backends)).toEqual(["comfyui", "espeak", "ollama"]);
    expect(config.backends.comfyui?.url).toBe("http://127.0.0.1:8188");
    expect(config.backends.ollama?.url).toBe("http://127.0.0.1:11434");
  });

  test("has every built-in plugin, at its own URL, once the # are removed", () => {
    const loaded = load(text.replace(/^ {2}#(?=[a-z]| {2})/gm, "  "));
    expect(loaded.problems).toEqual([]);
    expect(loaded.warnings).toEqual([]);
    for (const { name, config, defaultUrl } of plugins as (PluginSettings & Addressed)[]) {
      const found = loaded.config.backends[name];
      // What has to be described first is not offered as a line to switch on.
      if (["gradio", "rest-job", "subprocess"].includes(name)) {
        expect(found).toBeUndefined();
        expect(text).toContain(name);
        continue;
      }
      expect([name, found?.use, found?.url]).toEqual([name, name, defaultUrl]);
      expect(loaded.backend(name, config).problems).toEqual([]);
    }
  });
});

describe("gateway.schema.json", () => {
  test("is what the code says; `npm run schema` writes it", () => {
    const written = readFileSync(join(project, "config/gateway.schema.json"), "utf8");
    expect(written === jsonSchema(plugins)).toBe(true);
  });

  test("is the same whatever the order of the plugins", () => {
    expect(jsonSchema([...plugins].reverse())).toBe(jsonSchema(plugins));
  });

  test("requires only what has no default, and knows each plugin's own settings", () => {
    const schema = JSON.parse(jsonSchema(plugins));
    expect(schema.required).toBeUndefined();
    expect(schema.properties.auth.required).toBeUndefined();
    const [entry] = Object.values(schema.properties.backends.patternProperties) as any[];
    expect(entry.required).toEqual(["use"]);
    for (const [index, name] of names.sort().entries()) {
      const rule = entry.allOf[index];
      expect(rule.if.properties.use.const).toBe(name);
      const known = Object.keys(rule.then.properties);
      expect(known).toContain("device");
      for (const key of Object.keys(plugins.find((one) => one.name === name)!.config)) {
        expect(known).toContain(key);
      }
      expect(rule.then.additionalProperties).toBe(false);
    }
  });

  test("allows a variable where a number or a choice is wanted", () => {
    const { http, log } = JSON.parse(jsonSchema([])).properties;
    const variable = { type: "string", pattern: "\\$\\{" };
    expect(http.properties.port.anyOf).toContainEqual(variable);
    expect(log.properties.level.anyOf).toContainEqual(variable);
    expect(http.properties.host.type).toBe("string");
  });

  test("holds none of our own marks", () => {
    expect(jsonSchema(plugins)).not.toMatch(/"(unit|secret|names)":/);
  });
});

function quoted(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
