/** Streams of newline-delimited JSON, as language model servers send them. */
import type { TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { BackendError } from "./errors.ts";

/** Longest line in characters; a longer one is BACKEND_BAD_OUTPUT. */
const MAX_LINE = 8 * 1024 * 1024;

/**
 * Reads a body of newline-delimited JSON, one value at a time, however its chunks are cut. With
 * `as` each line is checked. Leaving the loop early closes the connection.
 */
export async function* ndjson<T>(
  response: Response,
  as?: TSchema & { readonly static: T },
): AsyncGenerator<T> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const piece = await reader?.read();
      if (piece === undefined || piece.done) break;
      const lines = decoder.decode(piece.value, { stream: true }).split("\n");
      // Joined after the split: a long line in small pieces must not be searched again for each.
      lines[0] = rest + lines[0];
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE) {
        const message = `a line of the stream is longer than ${MAX_LINE} characters`;
        throw new BackendError("BACKEND_BAD_OUTPUT", message);
      }
      for (const line of lines) if (line.trim() !== "") yield parse(line, as);
    }
    rest += decoder.decode();
    if (rest.trim() !== "") yield parse(rest, as);
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

function parse<T>(line: string, schema: TSchema | undefined): T {
  const start = line.slice(0, 80);
  let value: T;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    const message = `expected a line of JSON, got ${start}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message, { cause });
  }
  if (schema === undefined || Value.Check(schema, value)) return value;
  const first = Value.Errors(schema, value).First();
  const message = `unexpected line ${start}: ${first?.path} ${first?.message}`;
  throw new BackendError("BACKEND_BAD_OUTPUT", message);
}
