/** Rules about what a plugin says of itself; none of them needs a server. */
import assert from "node:assert/strict";
import { type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type AnyPlugin, API_VERSION } from "../plugin.ts";
import { capabilityOf, inputOf, isRecord, kindsOf, type Rule, type Subject } from "./cases.ts";
import { createTestContext } from "./context.ts";
import { offerRules } from "./offer-rules.ts";

const NAME = /^[a-z][a-z0-9-]*$/;
const KIND = /^[a-z]+\.[a-z]+$/;
const SNAKE_CASE = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;
const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;
const ROUTE = /^(GET|POST|DELETE)( (\/:?[a-z0-9_-]+)+)$/;
/** Settings of every backend, which the kernel owns. */
const TAKEN = new Set([
  ...["use", "enabled", "url", "device", "concurrency", "when_down", "headers"],
  ...["queue_timeout_ms", "attempt_timeout_ms", "stall_timeout_ms"],
]);

export function manifestRules(subject: Subject): readonly Rule[] {
  const { plugin } = subject;
  const rule = (name: string, check: () => void): Rule => ({ name, check: async () => check() });
  return [
    rule("says who it is", () => checkIdentity(plugin)),
    rule("has settings in snake_case, with defaults where there can be one", () =>
      checkSettings(subject),
    ),
    rule("has well-formed routes", () => checkRoutes(plugin)),
    ...offerRules(subject),
    ...kindsOf(subject).flatMap((kind) => [
      rule(`${kind}: takes input in snake_case`, () => {
        checkNames(capabilityOf(plugin, kind).input, kind);
      }),
      rule(`${kind}: accepts its example`, () => checkExample(subject, kind)),
      rule(`${kind}: refuses an empty request`, () => checkEmpty(subject, kind)),
      rule(`${kind}: gives the same request the same cost`, () => checkCost(subject, kind)),
    ]),
  ];
}

function checkIdentity(plugin: AnyPlugin): void {
  assert.equal(plugin.apiVersion, API_VERSION, `apiVersion must be ${API_VERSION}`);
  assert.match(plugin.name, NAME, "name must be lower case letters, digits and hyphens");
  assert.match(plugin.version, SEMVER, "version must be like 1.2.3");
  assert.ok(plugin.title.trim() !== "", "title must name the server as people write it");
  assert.match(plugin.summary, /^\S.*\.$/, "summary must be one line that ends with a dot");
  if (plugin.defaultUrl !== undefined) {
    assert.match(plugin.defaultUrl, /^https?:\/\/[^/]+/, "defaultUrl must be an http URL");
  }
  const { concurrency = 1 } = plugin;
  assert.ok(Number.isInteger(concurrency) && concurrency > 0, "concurrency must be 1 or more");
  for (const kind of [...Object.keys(plugin.capabilities), ...(plugin.uses ?? [])]) {
    assert.match(kind, KIND, `${kind}: a capability is named noun.verb`);
  }
}

function checkSettings({ plugin, cases }: Subject): void {
  const settings: TSchema = Type.Object(plugin.config);
  checkNames(settings, "config");
  for (const name of Object.keys(plugin.config)) {
    assert.ok(!TAKEN.has(name), `config: ${name} is a setting of every backend, name it otherwise`);
  }
  const needed = (settings.required ?? []).filter(
    (name: string) => plugin.config[name].default === undefined,
  );
  for (const name of needed) {
    assert.ok(
      cases.config?.[name] !== undefined,
      `config: ${name} needs a default or t.Optional; if nobody but the operator can know it, give it in the cases`,
    );
  }
  createTestContext(plugin, undefined, cases.config);
}

function checkRoutes(plugin: AnyPlugin): void {
  const entries = [...Object.entries(plugin.capabilities), ...Object.entries(plugin.routes ?? {})];
  const seen = new Set<string>();
  for (const [name, { route }] of entries) {
    assert.match(route, ROUTE, `${name}: the route ${route} must be like "POST /generate/image"`);
    assert.ok(!seen.has(route), `${name}: the route ${route} is used twice`);
    seen.add(route);
  }
  for (const [name, { scope }] of Object.entries(plugin.routes ?? {})) {
    assert.ok(scope !== "", `${name}: scope must name the scope that a key needs`);
  }
}

/** Every property of the schema, however deep; the names in a `t.Record` are the client's own. */
function checkNames(schema: unknown, where: string): void {
  if (Array.isArray(schema)) for (const part of schema) checkNames(part, where);
  if (!isRecord(schema)) return;
  for (const [name, property] of Object.entries(
    isRecord(schema.properties) ? schema.properties : {},
  )) {
    assert.match(name, SNAKE_CASE, `${where}: ${name} must be snake_case`);
    checkNames(property, `${where}.${name}`);
  }
  for (const key of ["items", "anyOf", "allOf", "oneOf"]) checkNames(schema[key], where);
}

function checkExample(subject: Subject, kind: string): void {
  const {
    input: schema,
    example,
    check,
  }: ReturnType<typeof capabilityOf> = capabilityOf(subject.plugin, kind);
  const input = inputOf(subject, kind);
  const wrong = Value.Errors(schema, input).First();
  assert.equal(wrong, undefined, `example${wrong?.path}: ${wrong?.message}`);
  assert.deepEqual(JSON.parse(JSON.stringify(example)), example, "example must be JSON");
  const known: unknown = Value.Clean(schema, structuredClone(example));
  assert.deepEqual(known, example, "example has fields that the schema does not know");
  const { config } = createTestContext(subject.plugin, undefined, subject.cases.config);
  assert.equal(check?.(input, config), undefined, "check refuses the example");
}

function checkEmpty({ plugin, cases }: Subject, kind: string): void {
  const { input: schema, check } = capabilityOf(plugin, kind);
  const empty: unknown = Value.Default(schema, {});
  if (!Value.Check(schema, empty)) return;
  const { config } = createTestContext(plugin, undefined, cases.config);
  assert.ok(check?.(empty, config), "an empty request must be refused by the schema or by check");
}

function checkCost(subject: Subject, kind: string): void {
  const { vram } = capabilityOf(subject.plugin, kind);
  if (vram === undefined) return;
  const { config } = createTestContext(subject.plugin, undefined, subject.cases.config);
  const before = JSON.stringify(config);
  const input = inputOf(subject, kind);
  const cost = vram(input, config);
  for (let time = 0; time < 5; time++) {
    assert.deepEqual(vram(inputOf(subject, kind), config), cost, "the cost differs between calls");
  }
  assert.deepEqual(input, inputOf(subject, kind), "vram must not change its input");
  assert.equal(JSON.stringify(config), before, "vram must not change the settings");
  assert.ok(typeof cost.model === "string" && cost.model !== "", "the cost must name a model");
  for (const part of ["residentMiB", "workingMiB"] as const) {
    const mib = cost[part];
    assert.ok(Number.isInteger(mib) && mib >= 0, `${part} must be 0 or more whole MiB, not ${mib}`);
  }
  for (const part of ["size", "loadMs", "runMs"] as const) {
    const { [part]: value = 1 } = cost;
    assert.ok(Number.isFinite(value) && value > 0, `${part} must be above 0 and finite: ${value}`);
  }
}
