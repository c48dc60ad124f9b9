/** Rules about how a plugin shares a GPU's memory: what it costs, holds, loads and frees. */
import assert from "node:assert/strict";
import { Value } from "@sinclair/typebox/value";
import { BackendError } from "../errors.ts";
import type { AnyPlugin, Resident } from "../plugin.ts";
import {
  capabilityOf,
  type Input,
  inputOf,
  type Rule,
  type Subject,
  withBackend,
} from "./cases.ts";
import type { TestContext } from "./context.ts";
import { createTestJob } from "./job.ts";
import { hookMs, SILENT_MS, soon, withServer } from "./server.ts";
import { within } from "./wait.ts";

const NOT_OFFERED = "the plugin does not offer it";

export function memoryRules(subject: Subject): readonly Rule[] {
  const { residents, load, free } = subject.plugin;
  const { defaultUrl } = subject.plugin;
  const needs = (...hooks: readonly unknown[]): { readonly skip?: string } =>
    hooks.every((hook) => hook !== undefined) ? {} : { skip: NOT_OFFERED };
  const needsServer = (hook: unknown): { readonly skip?: string } =>
    hook !== undefined && defaultUrl === undefined ? { skip: "it has no server" } : needs(hook);
  return [
    {
      name: "says how it shares the GPU without contradiction",
      check: async () => checkManifest(subject.plugin),
    },
    {
      name: "residents are models with whole MiB",
      ...needs(residents),
      check: () => checkResidents(subject),
    },
    {
      name: "residents name a model as its cost does",
      ...needs(residents),
      check: () => checkNames(subject),
    },
    { name: "free makes a model leave", ...needs(free), check: () => checkFree(subject) },
    {
      name: "free ends with its signal",
      ...needsServer(free),
      check: () => checkSignal(subject, "free"),
    },
    { name: "load brings a model in", ...needs(load), check: () => checkLoad(subject) },
    {
      name: "load of a model that is there changes nothing",
      ...needs(load),
      check: () => checkLoadTwice(subject),
    },
    {
      name: "load ends with its signal",
      ...needsServer(load),
      check: () => checkSignal(subject, "load"),
    },
    {
      name: "free makes a loaded model leave",
      ...needs(load, free, residents),
      check: () => checkLoadAndFree(subject),
    },
    {
      name: "free takes what the plugin says it takes",
      ...needs(load, free, residents),
      check: () => checkFrees(subject),
    },
  ];
}

function checkManifest(plugin: AnyPlugin): void {
  const { free, frees, load } = plugin;
  const said: unknown = frees;
  const known = said === undefined || said === "model" || said === "everything";
  assert.ok(known, `frees must be "model" or "everything", not ${JSON.stringify(said)}`);
  assert.ok(said === undefined || free !== undefined, "frees says what leaves with `free`: add it");
  const costs = Object.keys(plugin.capabilities).some((kind) => capabilityOf(plugin, kind).vram);
  assert.ok(costs || load === undefined, "load is never called: no capability has a `vram` cost");
  assert.ok(costs || free === undefined, "free is never called: no capability has a `vram` cost");
}

/** After a run, when there is something to see. */
function checkResidents(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    await runFirst(subject, ctx);
    const held = await heldBy(subject, ctx);
    for (const { model, residentMiB } of held) {
      assert.ok(typeof model === "string" && model !== "", "a resident must name its model");
      assert.ok(Number.isInteger(residentMiB) && residentMiB >= 0, `${model}: ${residentMiB} MiB`);
    }
    const names = held.map(({ model }) => model);
    assert.equal(new Set(names).size, names.length, `a resident is listed twice: ${names}`);
  });
}

/** The kernel knows a model by the name in its cost; under another name it would be foreign. */
function checkNames(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    const model = await runFirst(subject, ctx);
    const held = await heldBy(subject, ctx);
    if (model === undefined || held.length === 0) return;
    assert.ok(holds(held, model), `after a run of ${model} residents are ${namesOf(held)}`);
  });
}

function checkFree(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    const cost = await runFirst(subject, ctx);
    const [first] = await heldBy(subject, ctx);
    const model = first?.model ?? cost;
    assert.ok(model, "nothing is resident after a run, and no cost names a model to free");
    await call(subject, ctx, "free", model);
    assert.ok(!holds(await heldBy(subject, ctx), model), `${model} is still resident`);
  });
}

function checkLoad(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    for (const model of modelsToLoad(subject, ctx)) {
      await call(subject, ctx, "load", model);
      if (subject.plugin.residents === undefined) continue;
      const held = await heldBy(subject, ctx);
      assert.ok(holds(held, model), `after load of ${model} residents are ${namesOf(held)}`);
    }
  });
}

/** The kernel may call it for a model that a run, or another program, has loaded already. */
function checkLoadTwice(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    const [model] = modelsToLoad(subject, ctx);
    if (model === undefined) return;
    await call(subject, ctx, "load", model);
    const once = await heldBy(subject, ctx);
    await call(subject, ctx, "load", model);
    assert.deepEqual(await heldBy(subject, ctx), once, "the second load changed the residents");
  });
}

function checkLoadAndFree(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    for (const model of modelsToLoad(subject, ctx)) {
      await call(subject, ctx, "load", model);
      await call(subject, ctx, "free", model);
      assert.ok(!holds(await heldBy(subject, ctx), model), `${model} is still resident`);
    }
  });
}

/** With two models in memory; says nothing of a plugin that knows only one. */
function checkFrees(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    const [one, other] = await twoModels(subject, ctx);
    if (one === undefined || other === undefined) return;
    for (const model of [one, other]) await call(subject, ctx, "load", model);
    // A server may have room for one only.
    if (!holds(await heldBy(subject, ctx), one)) return;
    await call(subject, ctx, "free", one);
    const isThere = holds(await heldBy(subject, ctx), other);
    const { frees = "model" } = subject.plugin;
    if (frees === "model") assert.ok(isThere, `${other} left, too: say \`frees: "everything"\``);
    else assert.ok(!isThere, `${other} stayed: say \`frees: "model"\``);
  });
}

/** A server that never answers must not keep the kernel waiting, nor look like a success. */
function checkSignal(subject: Subject, hook: "load" | "free"): Promise<void> {
  return withServer(
    subject,
    () => {},
    async (ctx) => {
      const [model = "a-model"] = modelsToLoad(subject, ctx);
      const signal = AbortSignal.timeout(SILENT_MS);
      const asked = Promise.resolve(subject.plugin[hook]?.(ctx, model, signal)).then(
        () => undefined,
        (error: unknown) => error ?? "nothing",
      );
      const outcome = await within(asked, SILENT_MS + hookMs(subject), `${hook} must settle`);
      assert.ok(outcome !== undefined, `${hook} settled as done on a server that never answered`);
      const isKnown = BackendError.is(outcome) || outcome === signal.reason;
      assert.ok(isKnown, `${hook} must throw what its signal says, or a BackendError: ${outcome}`);
    },
  );
}

async function call(
  subject: Subject,
  ctx: TestContext,
  hook: "load" | "free",
  model: string,
): Promise<void> {
  const work = Promise.resolve(subject.plugin[hook]?.(ctx, model, soon(subject)));
  await within(work, hookMs(subject), `${hook} must settle`);
}

async function heldBy(subject: Subject, ctx: TestContext): Promise<readonly Resident[]> {
  return (await subject.plugin.residents?.(ctx, soon(subject))) ?? [];
}

const holds = (held: readonly Resident[], name: string): boolean =>
  held.some(({ model }) => model === name);
const namesOf = (held: readonly Resident[]): string =>
  held.map(({ model }) => model).join(", ") || "none";

/** The models of all examples, by the names in their costs; those that take no memory left out. */
function modelsToLoad(subject: Subject, ctx: TestContext): string[] {
  const costs = Object.keys(subject.plugin.capabilities).flatMap(
    (kind) => capabilityOf(subject.plugin, kind).vram?.(inputOf(subject, kind), ctx.config) ?? [],
  );
  const loadable = costs.filter(({ residentMiB }) => residentMiB > 0);
  return [...new Set(loadable.map(({ model }) => model))];
}

/** From the examples, else also from what a request may name in `model`. */
async function twoModels(subject: Subject, ctx: TestContext): Promise<string[]> {
  const { plugin } = subject;
  const found = new Set(modelsToLoad(subject, ctx));
  for (const { name } of (await plugin.models?.(ctx, soon(subject))) ?? []) {
    for (const kind of Object.keys(plugin.capabilities)) {
      if (found.size >= 2) break;
      const { vram, input: schema } = capabilityOf(plugin, kind);
      const input: Input = { ...inputOf(subject, kind), model: name };
      const cost = Value.Check(schema, input) ? vram?.(input, ctx.config) : undefined;
      if (cost !== undefined && cost.residentMiB > 0) found.add(cost.model);
    }
  }
  return [...found];
}

/** Runs the example of the first capability that costs memory; gives its model's name. */
async function runFirst(subject: Subject, ctx: TestContext): Promise<string | undefined> {
  const { plugin, cases } = subject;
  const kinds = Object.keys(plugin.capabilities);
  const kind = kinds.find((name) => capabilityOf(plugin, name).vram) ?? kinds[0];
  if (kind === undefined) return undefined;
  const { run, vram } = capabilityOf(plugin, kind);
  const input = inputOf(subject, kind);
  const running = Promise.resolve(run(createTestJob(input), ctx));
  await within(running, cases.runMs ?? 20_000, `${kind}: run must settle`);
  return vram?.(input, ctx.config).model;
}
