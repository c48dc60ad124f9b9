/** Server-sent events of a backend, read with a bound on their size. */
import { BackendError } from "./errors.ts";

export interface ServerEvent {
  /** "message" unless the server named it. */
  readonly event: string;
  /** Its lines of data, joined by line feeds. */
  readonly data: string;
}

/** Longest event in characters; a longer one is BACKEND_BAD_OUTPUT. */
const MAX_EVENT = 2 * 1024 * 1024;

/**
 * Reads a `text/event-stream`, one event at a time, however its chunks are cut. Ends when the
 * server ends it; what follows the last empty line is no event. Leaving the loop early closes the
 * connection.
 */
export async function* sse(
  response: Response,
  maxEvent: number = MAX_EVENT,
): AsyncGenerator<ServerEvent> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let pending = newEvent();
  try {
    for (;;) {
      const piece = await reader?.read();
      if (piece === undefined || piece.done) return;
      const lines = decoder.decode(piece.value, { stream: true }).split("\n");
      // Joined after the split: a long line in small pieces must not be searched again for each.
      lines[0] = rest + lines[0];
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const text = line.endsWith("\r") ? line.slice(0, -1) : line;
        if (text !== "") {
          pending.take(text);
        } else if (!pending.isEmpty()) {
          yield pending.event();
          pending = newEvent();
        }
        if (pending.size() > maxEvent) throw tooLong(maxEvent);
      }
      if (rest.length + pending.size() > maxEvent) throw tooLong(maxEvent);
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

interface Pending {
  take(line: string): void;
  isEmpty(): boolean;
  /** Characters so far. */
  size(): number;
  event(): ServerEvent;
}

function newEvent(): Pending {
  const data: string[] = [];
  let event = "message";
  let size = 0;
  return {
    take(line) {
      const colon = line.indexOf(":");
      // A line that begins with a colon is a comment, which servers send to keep a line open.
      if (colon === 0) return;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      size += line.length;
      if (field === "data") data.push(value);
      else if (field === "event") event = value;
    },
    isEmpty: () => data.length === 0,
    size: () => size,
    event: () => ({ event, data: data.join("\n") }),
  };
}

function tooLong(maxEvent: number): BackendError {
  const message = `an event of the stream is longer than ${maxEvent} characters`;
  return new BackendError("BACKEND_BAD_OUTPUT", message);
}
