/** One text generation: the request, its stream of tokens, and the answer made of them. */
import { BackendError, type Context, type Job, ndjson } from "switchyard/sdk";
import { refused, translated } from "./failure.ts";
import type { GenerateInput } from "./input.ts";
import { Line } from "./line.ts";
import { loadOptions } from "./names.ts";
import type { Settings } from "./settings.ts";

export interface Generated {
  readonly model: string;
  readonly text: string;
  readonly thinking?: string;
  readonly finish_reason: string;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
  readonly metrics: Readonly<Record<"load_ms" | "prompt_ms" | "generate_ms" | "total_ms", number>>;
}

/** Closing the connection is Ollama's cancel, so the job's signal is all that it needs. */
export async function generate(
  job: Job<GenerateInput>,
  { config, http }: Context<Settings>,
): Promise<Generated> {
  const model = job.input.model ?? config.model;
  try {
    const response = await http.fetch(job.input.messages ? "/api/chat" : "/api/generate", {
      method: "POST",
      body: requestBody(job.input, model, config),
      signal: job.signal,
      timeoutMs: config.load_timeout_ms,
    });
    return await collect(ndjson(response, Line), job, model);
  } catch (error) {
    throw translated(error, model, job.signal);
  }
}

function requestBody(input: GenerateInput, model: string, config: Settings): unknown {
  const { system, prompt, format, think, truncate, temperature, top_p, stop, seed } = input;
  const num_predict = input.max_tokens ?? config.default_max_tokens;
  const sampling = { ...input.options, num_predict, temperature, top_p, stop, seed };
  const options = { ...sampling, ...loadOptions(model, config) };
  const { keep_alive } = config;
  const common = { model, stream: true, format, think, truncate, keep_alive, options };
  if (input.messages === undefined) return { ...common, prompt, system };
  const first = system === undefined ? [] : [{ role: "system", content: system }];
  return { ...common, messages: [...first, ...input.messages] };
}

async function collect(lines: AsyncIterable<Line>, job: Job, model: string): Promise<Generated> {
  let text = "";
  let thinking = "";
  let last: Line | undefined;
  for await (const line of lines) {
    if (line.error !== undefined) throw refused(line.error);
    const piece = line.response ?? line.message?.content ?? "";
    if (piece !== "") job.emit(piece);
    text += piece;
    const thought = line.thinking ?? line.message?.thinking ?? "";
    if (thought !== "") job.progress(undefined, "thinking");
    thinking += thought;
    if (line.done === true) last = line;
  }
  if (last === undefined) {
    const got = `${text.length} characters`;
    throw new BackendError("BACKEND_LOST", `Ollama's stream ended after ${got} without its end`);
  }
  const reason = last.done_reason ?? "stop";
  if (reason === "load" || reason === "unload") {
    throw new BackendError("BACKEND_BAD_OUTPUT", `${model} answered "${reason}" instead of text`);
  }
  const { prompt_eval_count: prompt_tokens = 0, eval_count: completion_tokens = 0 } = last;
  const usage = { prompt_tokens, completion_tokens };
  const answer = { model, text, finish_reason: reason, usage, metrics: metricsOf(last) };
  return thinking === "" ? answer : { ...answer, thinking };
}

function metricsOf(line: Line): Generated["metrics"] {
  const ms = (nanoseconds = 0): number => Math.round(nanoseconds / 1e6);
  return {
    load_ms: ms(line.load_duration),
    prompt_ms: ms(line.prompt_eval_duration),
    generate_ms: ms(line.eval_duration),
    total_ms: ms(line.total_duration),
  };
}
