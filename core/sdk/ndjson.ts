import { BackendError } from "./errors.ts";

/** Longest line in characters; a longer one is BACKEND_BAD_OUTPUT. */
const MAX_LINE = 8 * 1024 * 1024;

/** Reads a body of newline-delimited JSON, one value at a time, however its chunks are cut. */
export async function* ndjson<T>(response: Response): AsyncGenerator<T> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE) {
      throw new BackendError("BACKEND_BAD_OUTPUT", `a line is longer than ${MAX_LINE} characters`);
    }
    for (const line of lines) if (line.trim() !== "") yield parse<T>(line);
  }
  rest += decoder.decode();
  if (rest.trim() !== "") yield parse<T>(rest);
}

function parse<T>(line: string): T {
  try {
    return JSON.parse(line) as T;
  } catch (cause) {
    const start = line.slice(0, 80);
    throw new BackendError("BACKEND_BAD_OUTPUT", `expected a line of JSON, got ${start}`, {
      cause,
    });
  }
}
