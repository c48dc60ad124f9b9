/** What the tests of the Ollama plugin share: a context with settings, and started jobs. */
import { onTestFinished } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { type Context, poll, type Static, t } from "switchyard/sdk";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import { createHttpClient } from "../../core/sdk/http-client.ts";
import plugin from "../../plugins/ollama/plugin.ts";
import { type FakeOllama, type FakeOllamaOptions, startFakeOllama } from "../fakes/ollama.ts";

export type Settings = Parameters<typeof plugin.health>[0]["config"];

export function contextFor(
  url: string,
  changes: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Context<Settings> {
  const { config, ...ctx } = createTestContext(plugin, url, changes);
  const http = createHttpClient({ baseUrl: url, title: plugin.title, headers });
  return { ...ctx, http, config: config as Settings };
}

/** A fake, stopped after the test, and a context for it. */
export async function start(
  options: FakeOllamaOptions = {},
  settings: Record<string, unknown> = {},
): Promise<{ fake: FakeOllama; ctx: Context<Settings> }> {
  const fake = await startFakeOllama(options);
  onTestFinished(() => fake.stop());
  return { fake, ctx: contextFor(fake.url, settings) };
}

export function settingsWith(changes: Record<string, unknown> = {}): Settings {
  return createTestContext(plugin, undefined, changes).config as Settings;
}

export function acceptsSettings(changes: Record<string, unknown>): boolean {
  try {
    settingsWith(changes);
    return true;
  } catch {
    return false;
  }
}

export const soon = (): AbortSignal => AbortSignal.timeout(10_000);

/** Waits, with a bound, until something is so. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  await poll(async () => (await check()) || undefined, { signal: soon(), intervalMs: 5 });
}

const text = plugin.capabilities["text.generate"];
const embedding = plugin.capabilities["text.embed"];
export type TextInput = Static<typeof text.input>;
export type EmbedInput = Static<typeof embedding.input>;

const durations = t.Object({
  load_ms: t.Integer(),
  prompt_ms: t.Integer(),
  generate_ms: t.Integer(),
  total_ms: t.Integer(),
});
const TextAnswer = t.Object({
  model: t.String(),
  text: t.String(),
  thinking: t.Optional(t.String()),
  finish_reason: t.String(),
  usage: t.Object({ prompt_tokens: t.Integer(), completion_tokens: t.Integer() }),
  metrics: durations,
});
const EmbedAnswer = t.Object({
  model: t.String(),
  dimensions: t.Integer(),
  embeddings: t.Array(t.Array(t.Number())),
});

/** Starts a generation; `outcome` is the answer or the error. */
export function startText(ctx: Context<Settings>, input: Partial<TextInput>) {
  const job = createTestJob(Value.Default(text.input, { ...input }) as TextInput);
  const outcome = Promise.resolve(text.run(job, ctx)).catch((error: unknown) => error);
  return { job, outcome };
}

export async function textOf(ctx: Context<Settings>, input: Partial<TextInput>) {
  const { job, outcome } = startText(ctx, input);
  const answer = await outcome;
  if (answer instanceof Error) throw answer;
  return { job, answer: Value.Decode(TextAnswer, answer) };
}

export async function textError(ctx: Context<Settings>, input: Partial<TextInput>) {
  return errorOf(await startText(ctx, input).outcome);
}

export function startEmbedding(ctx: Context<Settings>, input: EmbedInput) {
  const job = createTestJob(input);
  const outcome = Promise.resolve(embedding.run(job, ctx)).catch((error: unknown) => error);
  return { job, outcome };
}

export async function vectorsOf(ctx: Context<Settings>, input: EmbedInput) {
  const { job, outcome } = startEmbedding(ctx, input);
  const answer = await outcome;
  if (answer instanceof Error) throw answer;
  return { job, answer: Value.Decode(EmbedAnswer, answer) };
}

export async function embedError(ctx: Context<Settings>, input: EmbedInput) {
  return errorOf(await startEmbedding(ctx, input).outcome);
}

export function errorOf(outcome: unknown): { code: string; message: string } {
  if (!(outcome instanceof Error)) throw new Error(`it succeeded: ${JSON.stringify(outcome)}`);
  return {
    code: String("code" in outcome ? outcome.code : outcome.name),
    message: outcome.message,
  };
}
