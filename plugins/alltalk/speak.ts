/**
 * One job: the text in parts that AllTalk takes, one call after the other, one file in the end.
 * AllTalk cannot be stopped: after a cancel the call that is under way is waited for.
 */
import {
  BackendError,
  type Context,
  isShutdown,
  type Job,
  splitSentences,
  t,
} from "switchyard/sdk";
import { failureOf } from "./failure.ts";
import { type Fields, fieldsOf } from "./form.ts";
import type { Speech } from "./input.ts";
import { ask, known, ready } from "./server.ts";
import type { Settings } from "./settings.ts";
import { downloadAll, pathOf, store } from "./sound.ts";

const Made = t.Object({ status: t.Literal("generate-success"), output_file_url: t.String() });

export async function speak(job: Job<Speech>, ctx: Context<Settings>): Promise<unknown> {
  const state = known(ctx.config);
  state.running += 1;
  try {
    return await work(job, ctx);
  } finally {
    state.running -= 1;
  }
}

async function work(job: Job<Speech>, ctx: Context<Settings>): Promise<unknown> {
  const { config } = ctx;
  // A call that an earlier gateway left behind holds this one up until it has ended.
  const said = await ready(ctx, job.signal, config.part_timeout_ms);
  if (said === "Unloaded") {
    throw new BackendError("BACKEND_BUSY", "AllTalk has no engine loaded yet");
  }
  if (said !== "Ready") {
    throw new BackendError("BACKEND_BAD_OUTPUT", `AllTalk said "${said}" when asked for its state`);
  }
  const server = await ask(ctx, job.signal);
  known(config).server = server;
  const fields = fieldsOf(job.input, config, server);
  const parts = splitSentences(job.input.text, config.max_characters, job.input.language);
  const paths: string[] = [];
  for (const [index, text] of parts.entries()) {
    job.signal.throwIfAborted();
    job.progress(index / parts.length, `part ${index + 1} of ${parts.length}`);
    const name = `switchyard_${job.id.replaceAll("-", "")}_${index + 1}`;
    const form = { ...fields, text_input: text, output_file_name: name };
    // A restart of the gateway repeats none that is done.
    paths.push(await job.step(`part ${index + 1}`, () => say(form, job, ctx)));
  }
  const sounds = await downloadAll(ctx.http, paths, job.signal);
  const facts = { voice: fields.character_voice_gen ?? null, engine: server.engine };
  return store(job, sounds, { ...facts, language: fields.language, parts: parts.length });
}

/** Settles when AllTalk is done, also when nobody wants it any more; not when we shut down. */
async function say(form: Fields, { signal }: Job, ctx: Context<Settings>): Promise<string> {
  const { http, config } = ctx;
  const body = new FormData();
  for (const [name, value] of Object.entries(form)) body.set(name, value);
  const leave = new AbortController();
  const shutDown = (): void => {
    if (isShutdown(signal)) leave.abort();
  };
  signal.addEventListener("abort", shutDown, { once: true });
  try {
    const limits = { timeoutMs: config.part_timeout_ms, signal: leave.signal, as: Made };
    const { output_file_url } = await http.post("/api/tts-generate", body, limits);
    return pathOf(output_file_url);
  } catch (error) {
    signal.throwIfAborted();
    throw failureOf(error);
  } finally {
    signal.removeEventListener("abort", shutDown);
  }
}
