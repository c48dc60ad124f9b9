import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  BackendSchema,
  GatewaySchema,
  jsonSchema,
  loadConfig,
  type PluginSettings,
} from "../../../core/config/mod.ts";
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
const own = plugins.flatMap(({ name, config }) => settingsOf(config, ["backends", name]));

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
      const loaded = load(changed.join("\n"), { COMFYUI_TOKEN: "abc", HF_TOKEN: "def" });
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
      const shown =
        typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default);
      const unit = schema.unit ? ` ${schema.unit}` : "";
      expect(prose).toMatch(new RegExp(`Default: ${quoted(shown + unit)}( \\(|\\n|$)`));
    },
  );

  test.each(own.map(({ path, schema }) => [path.join("."), path, schema] as const))(
    "names the plugin's own %s with its default",
    (_key, path, schema) => {
      const prose = proseAbove(lineOf(path));
      expect(prose).toContain("Default: ");
      if (schema.default === undefined) return;
      const shown =
        typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default);
      expect(prose).toMatch(new RegExp(`Default: ${quoted(shown)}( |\\n|$)`));
    },
  );

  test("changes nothing: every value in it is the default", () => {
    const loaded = load(example);
    const byDefault = load("").config;
    for (const { path } of kernel.filter(({ path }) => path[0] !== "backends")) {
      expect([path, valueAt(loaded.config, path)]).toEqual([path, valueAt(byDefault, path)]);
    }
    for (const { name, config } of plugins) {
      const plain = load(`backends: {${name}: {use: ${name}}}`);
      expect(loaded.backend(name, config).settings).toEqual(plain.backend(name, config).settings);
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
  test("as it comes loads without problems, with the three built-in backends", () => {
    const { config, problems, warnings } = loadConfig({
      path: join(project, "config/gateway.yaml"),
      env: {},
    });
    expect(problems).toEqual([]);
    expect(warnings).toEqual([]);
    expect(Object.keys(config.backends)).toEqual(["comfyui", "ollama", "espeak"]);
    expect(config.backends.comfyui?.url).toBe("http://127.0.0.1:8188");
    expect(config.backends.ollama?.url).toBe("http://127.0.0.1:11434");
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
