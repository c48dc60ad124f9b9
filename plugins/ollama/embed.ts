/** Embeddings, in batches: a vector for every text, or an error that names the text in the way. */
import { BackendError, type Context, type inputs, type Job, type Static, t } from "switchyard/sdk";
import { translated } from "./failure.ts";
import { loadOptions, numCtxOf } from "./names.ts";
import type { Settings } from "./settings.ts";

export type EmbedInput = Static<typeof inputs.embedding>;

export interface Embedded {
  readonly model: string;
  readonly dimensions: number;
  readonly embeddings: readonly (readonly number[])[];
}

const Answer = t.Object({ embeddings: t.Array(t.Array(t.Number())) });

/** Texts in one call: bounds its answer, and gives progress and a place to stop between calls. */
const BATCH = 64;
/** A vector of 8,192 dimensions at about 22 characters per number is 176 KiB. */
const MAX_VECTOR_BYTES = 512 * 1024;

export async function embed(
  job: Job<EmbedInput>,
  { config, http }: Context<Settings>,
): Promise<Embedded> {
  const { texts, model = config.embed_model } = job.input;
  const embeddings: number[][] = [];
  for (let start = 0; start < texts.length; start += BATCH) {
    const batch = texts.slice(start, start + BATCH);
    // Cut texts would give vectors that look right and are wrong, so Ollama must refuse them.
    const body = {
      model,
      input: batch,
      truncate: false,
      keep_alive: config.keep_alive,
      options: loadOptions(model, config),
    };
    const { signal } = job;
    const timeoutMs = config.load_timeout_ms;
    const maxBytes = batch.length * MAX_VECTOR_BYTES;
    const limits = { as: Answer, signal, timeoutMs, maxBytes };
    const answer = await http.post("/api/embed", body, limits).catch((error: unknown) => {
      throw located(translated(error, model, signal), batch, start, numCtxOf(model, config));
    });
    embeddings.push(...answer.embeddings);
    if (embeddings.length !== start + batch.length) {
      const got = `${answer.embeddings.length} vectors for ${batch.length} texts`;
      throw new BackendError("BACKEND_BAD_OUTPUT", `${model} gave ${got}`);
    }
    job.progress(embeddings.length / texts.length);
  }
  return { model, dimensions: dimensionsOf(embeddings, model), embeddings };
}

/** Ollama refuses a batch as a whole and does not say which text was too long. */
function located(error: unknown, batch: readonly string[], start: number, numCtx: number): unknown {
  if (!BackendError.is(error) || !error.message.includes("input length exceeds")) return error;
  const lengths = batch.map((text) => text.length);
  const longest = Math.max(...lengths);
  const index = start + lengths.indexOf(longest);
  const range = `texts[${start}..${start + batch.length - 1}]`;
  return new BackendError(
    error.code,
    `${error.message}. It is in ${range}; the longest is texts[${index}] with ${longest} ` +
      `characters. Split it to about 400 tokens (num_ctx is ${numCtx}; ` +
      "many embedding models take 512 at most)",
    { cause: error, details: { first_index: start, longest_index: index } },
  );
}

function dimensionsOf(embeddings: readonly (readonly number[])[], model: string): number {
  const dimensions = embeddings[0]?.length ?? 0;
  if (dimensions === 0 || embeddings.some((vector) => vector.length !== dimensions)) {
    throw new BackendError("BACKEND_BAD_OUTPUT", `${model} gave empty or uneven vectors`);
  }
  return dimensions;
}
