/** What AllTalk's failures mean, where its status alone misleads. */
import { BackendError, type BackendErrorCode } from "switchyard/sdk";

interface Meaning {
  readonly pattern: RegExp;
  readonly code: BackendErrorCode;
  readonly say: string;
}

const MEANINGS: readonly Meaning[] = [
  {
    pattern: /HTTP 507|insufficient memory/i,
    code: "OUT_OF_MEMORY",
    say: "AllTalk ran out of memory",
  },
  {
    pattern: /no TTS model loaded|no model is currently loaded/i,
    code: "BACKEND_FAILED",
    say: "AllTalk has no model loaded; choose one in its web page",
  },
  {
    // All that is told of an error of the engine; a lack of GPU memory is one.
    pattern: /TTS generation failed/i,
    code: "BACKEND_FAILED",
    say: "AllTalk's engine failed, perhaps for lack of GPU memory; AllTalk's log tells why",
  },
  {
    // Of a file of its own; it has no credentials to refuse.
    pattern: /permission denied/i,
    code: "BACKEND_FAILED",
    say: "AllTalk may not read or write one of its own files",
  },
];

export function failureOf(error: unknown): unknown {
  if (!BackendError.is(error)) return error;
  const meaning = MEANINGS.find(({ pattern }) => pattern.test(error.message));
  return meaning ? new BackendError(meaning.code, meaning.say, { cause: error }) : error;
}
