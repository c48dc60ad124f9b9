/**
 * Says what Ollama's error texts mean. The status alone does not: a schema it cannot read is a 500,
 * and once a stream has begun every error comes as a line under status 200.
 */
import { BackendError, type BackendErrorCode } from "switchyard/sdk";

interface Meaning {
  readonly pattern: RegExp;
  readonly code: BackendErrorCode;
  /** What to tell; without it, Ollama's own words. */
  say?(model: string): string;
}

const MEANINGS: readonly Meaning[] = [
  {
    pattern: /model ["'\\]+.*["'\\]+ not found|try pulling it/i,
    code: "BACKEND_REJECTED",
    say: (model) => `Ollama has no model "${model}"; the operator can run: ollama pull ${model}`,
  },
  {
    pattern: /exceeds\b.*\bcontext/i,
    code: "BACKEND_REJECTED",
    say: (model) => `the input length exceeds the context of ${model}; shorten the input`,
  },
  {
    pattern:
      /out of (device )?memory|(cuda|hip)Malloc failed|failed to allocate|requires more system memory|(not enough|insufficient) memory|unable to load full model on GPU/i,
    code: "OUT_OF_MEMORY",
    say: (model) => `Ollama ran out of memory with ${model}; use a smaller model or num_ctx`,
  },
  { pattern: /server busy|maximum pending requests/i, code: "BACKEND_BUSY" },
  { pattern: /unauthorized/i, code: "BACKEND_UNAUTHORIZED" },
  {
    pattern:
      /(runner|llama-server) (process )?(has )?(terminated|no longer running)|unexpected EOF/i,
    code: "BACKEND_LOST",
  },
  {
    pattern: /does not support|is not supported|invalid JSON schema|must be of type|NaN or Inf/i,
    code: "BACKEND_REJECTED",
  },
];

/** An error that came as a line of a stream. */
export function refused(error: unknown): BackendError {
  const text = typeof error === "string" ? error : JSON.stringify(error);
  return new BackendError("BACKEND_FAILED", `Ollama says: ${text.slice(0, 500)}`);
}

/** The failure to throw instead of `error`: the same one where Ollama's text adds nothing. */
export function translated(error: unknown, model: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (!BackendError.is(error)) {
    return new BackendError("BACKEND_LOST", "the connection to Ollama broke", { cause: error });
  }
  const meaning = MEANINGS.find(({ pattern }) => pattern.test(error.message));
  if (meaning === undefined) return error;
  const { retryAfterMs, details } = error;
  const message = meaning.say?.(model) ?? error.message;
  return new BackendError(meaning.code, message, { cause: error, retryAfterMs, details });
}
