/** Rules about the hooks that look at the whole server: health, models, routes. */
import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import { Value } from "@sinclair/typebox/value";
import { BackendError } from "../errors.ts";
import type { Health } from "../plugin.ts";
import { REAL_SERVER } from "./against.ts";
import { type Rule, type Subject, withBackend } from "./cases.ts";
import { createTestContext } from "./context.ts";
import { hookMs, SILENT_MS, soon, withServer } from "./server.ts";
import { within } from "./wait.ts";

const NO_SERVER = "it has no server";

export function serverRules(subject: Subject): readonly Rule[] {
  const { plugin } = subject;
  const server = plugin.defaultUrl === undefined ? { skip: NO_SERVER } : {};
  const optional = (hook: unknown): { readonly skip?: string } =>
    hook === undefined ? { skip: "the plugin does not offer it" } : {};
  return [
    { name: "health is ready when the server answers", check: () => checkReady(subject) },
    {
      name: "health notices that the server is gone",
      ...(subject.cases.against === undefined ? server : { skip: REAL_SERVER }),
      check: () => checkGone(subject),
    },
    {
      name: "health gives up on a silent server when its signal says so",
      ...server,
      check: () => checkOther(subject, () => {}),
    },
    {
      name: "health notices that another program answers",
      ...server,
      check: () =>
        checkOther(subject, (_request, response) => {
          response.setHeader("content-type", "text/html").end("<!doctype html><p>Welcome!</p>");
        }),
    },
    { name: "models are named", ...optional(plugin.models), check: () => checkModels(subject) },
    {
      name: "routes that need no input answer with JSON",
      ...optional(plugin.routes),
      check: () => checkEndpoints(subject),
    },
  ];
}

function checkReady(subject: Subject): Promise<void> {
  const { plugin } = subject;
  return withBackend(subject, async ({ ctx }) => {
    const health: Health = await within(
      plugin.health(ctx, soon(subject)),
      hookMs(subject),
      "health must settle",
    );
    assert.equal(health.status, "ready", `health is ${JSON.stringify(health)}`);
  });
}

async function checkGone(subject: Subject): Promise<void> {
  const { plugin, cases } = subject;
  const fake = await cases.fake?.();
  assert.ok(fake, "give `fake` in the cases: this plugin has a server");
  const ctx = createTestContext(plugin, fake.url, cases.config);
  await fake.stop();
  await checkNotReady(subject, ctx, soon(subject));
}

/** A server that does not behave like this plugin's must not pass for it. */
function checkOther(subject: Subject, listener: RequestListener): Promise<void> {
  return withServer(subject, listener, (ctx) =>
    checkNotReady(subject, ctx, AbortSignal.timeout(SILENT_MS)),
  );
}

async function checkNotReady(
  subject: Subject,
  ctx: ReturnType<typeof createTestContext>,
  signal: AbortSignal,
): Promise<void> {
  const { plugin } = subject;
  const asked = Promise.resolve(plugin.health(ctx, signal));
  const health: unknown = await within(
    asked.catch((error: unknown) => error),
    hookMs(subject),
    "health must settle",
  );
  await plugin.close?.(ctx);
  if (BackendError.is(health) || (signal.aborted && health === signal.reason)) return;
  if (health instanceof Error) throw health;
  const { status, reason }: { status?: unknown; reason?: unknown } = Object(health);
  assert.notEqual(status, "ready", "health says ready of a server that is not");
  assert.ok(typeof reason === "string" && reason !== "", "health must say why");
}

function checkModels(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    const models = (await subject.plugin.models?.(ctx, soon(subject))) ?? [];
    const names = models.map(({ name }) => name);
    assert.ok(
      names.every((name) => typeof name === "string" && name !== ""),
      "a name is empty",
    );
    assert.equal(new Set(names).size, names.length, `a model is listed twice: ${names.join(", ")}`);
    assert.deepEqual(JSON.parse(JSON.stringify(models)), models, "models must be JSON");
  });
}

function checkEndpoints(subject: Subject): Promise<void> {
  return withBackend(subject, async ({ ctx }) => {
    for (const [name, endpoint] of Object.entries(subject.plugin.routes ?? {})) {
      const input: unknown = Value.Default(endpoint.input, {});
      if (!endpoint.route.startsWith("GET ") || !Value.Check(endpoint.input, input)) continue;
      const asked = endpoint.handle(input, ctx, soon(subject));
      const answer: unknown = await within(asked, hookMs(subject), `${name} must settle`);
      assert.ok(JSON.stringify(answer) !== undefined, `${name} must answer with JSON`);
    }
  });
}
