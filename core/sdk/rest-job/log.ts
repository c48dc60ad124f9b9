/** Looks into a server's log for the reason of a failure that the server itself does not tell. */
import { type Asked, open } from "./call.ts";

/** A log as an event stream never ends: what comes at once is what it has. */
const QUIET_MS = 300;
const LOOK_MS = 3_000;
const MAX_CHARS = 512 * 1024;
const NAMES_ERROR = /\b(fatal|error|exception|failed|failure|abort(ed)?)\b|out of memory/i;

/** The last line that names an error, or undefined; never throws. */
export async function reasonIn(asked: Asked): Promise<string | undefined> {
  const patience = AbortSignal.any([asked.signal, AbortSignal.timeout(LOOK_MS)]);
  try {
    const response = await open({ ...asked, signal: patience });
    const text = await readUntilQuiet(response);
    return lastReason(text);
  } catch {
    return undefined;
  }
}

async function readUntilQuiet(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const piece = await Promise.race([reader?.read(), quiet()]);
      if (piece === undefined || piece.done) return text;
      text = (text + decoder.decode(piece.value, { stream: true })).slice(-MAX_CHARS);
    }
  } catch {
    // What came before the break is what there is to look at.
    return text;
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

function quiet(): Promise<undefined> {
  return new Promise((done) => setTimeout(() => done(undefined), QUIET_MS));
}

function lastReason(text: string): string | undefined {
  const lines = text.split(/[\r\n]+/).map((line) => line.replace(/^data:\s?/, "").trim());
  // A line with JSON may repeat the request, which is nobody's reason.
  const named = lines.filter((line) => NAMES_ERROR.test(line) && !line.includes("{"));
  return named.at(-1)?.slice(0, 300);
}
