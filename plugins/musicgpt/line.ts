/** A WebSocket to MusicGPT that has proved who it is: the page of every other path proves nothing. */
import { BackendError, type Context } from "switchyard/sdk";
import { type About, type Ids, type News, read } from "./protocol.ts";
import type { Settings } from "./settings.ts";

export interface Line {
  readonly about: About;
  say(message: Readonly<Record<string, unknown>>): void;
  /** Undefined when the server closed the line or fell silent on it: then open another and ask. */
  next(): Promise<News | undefined>;
  close(): Promise<void>;
}

export interface LineOptions {
  readonly signal: AbortSignal;
  /** Longest silence before `next` gives up this line. */
  readonly silenceMs: number;
}

export async function openLine(
  { http }: Context<Settings>,
  ids: Ids,
  { signal, silenceMs }: LineOptions,
): Promise<Line> {
  const socket = await http.socket("/ws", { signal, idleTimeoutMs: silenceMs });
  const messages = socket[Symbol.asyncIterator]();
  try {
    const { done, value } = await messages.next();
    if (done)
      throw new BackendError("BACKEND_UNREACHABLE", "MusicGPT closed its WebSocket at once");
    const first = read(value, ids);
    if (first.kind !== "about") {
      const problem = "its WebSocket /ws did not begin with the Info of MusicGPT";
      throw new BackendError("BACKEND_MISMATCH", `another program answers: ${problem}`);
    }
    return {
      about: first.about,
      say: (message) => socket.send(JSON.stringify(message)),
      next: () => nextOf(messages, ids),
      close: () => socket.close(),
    };
  } catch (error) {
    await socket.close();
    throw error;
  }
}

async function nextOf(
  messages: AsyncIterator<string | Uint8Array>,
  ids: Ids,
): Promise<News | undefined> {
  try {
    const { done, value } = await messages.next();
    return done ? undefined : read(value, ids);
  } catch (error) {
    // Where its broadcast lagged, the server stops telling without closing: silence ends a line.
    if (BackendError.is(error) && error.code === "STALLED") return undefined;
    throw error;
  }
}

/** For what happens on the side: one message on a line of its own, delivered when this settles. */
export async function tell(
  ctx: Context<Settings>,
  ids: Ids,
  message: Readonly<Record<string, unknown>>,
): Promise<void> {
  const line = await openLine(ctx, ids, { signal: AbortSignal.timeout(10_000), silenceMs: 5_000 });
  line.say(message);
  await line.close();
}
