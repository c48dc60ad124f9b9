/**
 * A WebSocket to a backend as a stream of messages.
 *
 * Its queue is bounded: a plugin that reads too slowly loses the OLDEST messages. Dropping is right
 * here because a socket only shows progress; the truth about a job comes from asking (polling).
 */
import { BackendError } from "./errors.ts";
import { notAnswered, stalled, type Target } from "./failure.ts";
import type { BackendSocket, RequestOptions } from "./http.ts";

type Message = string | Uint8Array;

const MAX_MESSAGES = 1_024;
const MAX_BYTES = 32 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 30_000;
/** A server that never answers our close must not hold us. */
const CLOSE_TIMEOUT_MS = 2_000;

/** Opens `url`; settles when the handshake is over, or fails as a request before its headers. */
export async function openSocket(
  url: URL,
  headers: Readonly<Record<string, string>>,
  target: Target,
  path: string,
  { signal, timeoutMs = CONNECT_TIMEOUT_MS, idleTimeoutMs }: RequestOptions,
): Promise<BackendSocket> {
  signal?.throwIfAborted();
  const socket = connect(url, headers);
  socket.binaryType = "arraybuffer";
  const inbox = createInbox();
  const call = `WebSocket ${path}`;
  socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
    if (typeof data === "string") inbox.push(data);
    else if (data instanceof ArrayBuffer) inbox.push(new Uint8Array(data));
  });
  await opened(socket, target, call, timeoutMs, signal);
  const abort = (): void => {
    inbox.end(signal?.reason);
    socket.close();
  };
  signal?.addEventListener("abort", abort, { once: true });
  const closed = new Promise<void>((done) => {
    const settle = (): void => {
      signal?.removeEventListener("abort", abort);
      inbox.end();
      done();
    };
    if (socket.readyState === WebSocket.CLOSED) settle();
    else socket.addEventListener("close", settle, { once: true });
  });
  // Without a listener an error after the handshake would be reported as uncaught.
  socket.addEventListener("error", () => socket.close());

  return {
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) {
        throw new BackendError("BACKEND_LOST", `${target.title} closed the ${call}`);
      }
      socket.send(typeof message === "string" ? message : new Uint8Array(message));
    },
    async close() {
      inbox.end();
      if (socket.readyState !== WebSocket.CLOSED) socket.close();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<void>((done) => {
        timer = setTimeout(done, CLOSE_TIMEOUT_MS);
      });
      await Promise.race([closed, patience]);
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const message = await inbox.next(idleTimeoutMs, (limitMs) =>
          stalled(target, call, "fell silent on its", limitMs),
        );
        if (message === undefined) return;
        yield message;
      }
    },
  };
}

function connect(url: URL, headers: Readonly<Record<string, string>>): WebSocket {
  // Bun and Deno take headers here, which the browser's constructor does not know.
  return Reflect.construct(WebSocket, [url, { headers }]);
}

async function opened(
  socket: WebSocket,
  target: Target,
  call: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const settled = new AbortController();
  const until = { once: true, signal: settled.signal };
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await new Promise<void>((done, fail) => {
      const failed = (event: Event): void => fail(refused(target, call, event));
      socket.addEventListener("open", () => done(), until);
      socket.addEventListener("error", failed, until);
      socket.addEventListener("close", failed, until);
      signal?.addEventListener("abort", () => fail(signal.reason), until);
      timer = setTimeout(
        () => fail(stalled(target, call, "did not answer the", timeoutMs)),
        timeoutMs,
      );
    });
  } catch (cause) {
    settled.abort();
    socket.addEventListener("error", () => {});
    socket.close();
    throw cause;
  } finally {
    clearTimeout(timer);
    settled.abort();
  }
}

function refused(target: Target, call: string, event: Event): BackendError {
  const text = "message" in event ? String(event.message) : "";
  if (!/status|\b101\b|upgrade/i.test(text)) return notAnswered(target, new Error(text));
  const status = /\b[345]\d\d\b/.exec(text)?.[0];
  const code = status === "401" || status === "403" ? "BACKEND_UNAUTHORIZED" : "BACKEND_MISMATCH";
  return new BackendError(
    code,
    `${target.title} at ${target.baseUrl} did not accept the ${call}` +
      (status === undefined ? "" : ` (HTTP ${status})`),
  );
}

interface Inbox {
  push(message: Message): void;
  /** No more messages; what is queued is still given, unless there is an error. */
  end(error?: unknown): void;
  /** The next message, or undefined at the end. */
  next(
    idleTimeoutMs: number | undefined,
    late: (limitMs: number) => BackendError,
  ): Promise<Message | undefined>;
}

function createInbox(): Inbox {
  const queue: Message[] = [];
  let bytes = 0;
  let ended = false;
  let failure: unknown;
  let wake = (): void => {};
  const take = (): Message | undefined => {
    const message = queue.shift();
    bytes -= message?.length ?? 0;
    return message;
  };
  return {
    push(message) {
      if (ended) return;
      queue.push(message);
      bytes += message.length;
      while (queue.length > MAX_MESSAGES || (bytes > MAX_BYTES && queue.length > 1)) take();
      wake();
    },
    end(error) {
      if (ended) return;
      ended = true;
      failure = error;
      wake();
    },
    async next(idleTimeoutMs, late) {
      for (;;) {
        if (failure !== undefined) throw failure;
        if (queue.length > 0) return take();
        if (ended) return undefined;
        await new Promise<void>((done, fail) => {
          const timer =
            idleTimeoutMs === undefined
              ? undefined
              : setTimeout(() => fail(late(idleTimeoutMs)), idleTimeoutMs);
          wake = () => {
            clearTimeout(timer);
            done();
          };
        });
      }
    },
  };
}
