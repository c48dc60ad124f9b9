/**
 * The body of a backend's answer, watched: it may not fall silent, break or end too early without
 * an error that says so. Nothing is read before it is asked for.
 */
import { BackendError } from "./errors.ts";
import { badOutput, stalled, type Target } from "./failure.ts";

export interface BodyWatch {
  readonly target: Target;
  /** "GET /view", for messages. */
  readonly call: string;
  readonly idleTimeoutMs: number;
  /** The caller's signal; its reason is what a reader gets. */
  readonly signal: AbortSignal | undefined;
  /** The body came to its end; the connection may serve the next request. */
  finish(): void;
  /** Nobody wants the rest of the body: the connection is closed. */
  drop(): void;
}

/** A stream of the same bytes; a reader gets STALLED, BACKEND_LOST or BACKEND_BAD_OUTPUT. */
export function watchBody(response: Response, watch: BodyWatch): ReadableStream<Uint8Array> | null {
  if (response.body === null) {
    watch.finish();
    return null;
  }
  const reader = response.body.getReader();
  const expected = expectedLength(response);
  let received = 0;
  let stopListening = (): void => {};
  const drop = (): void => {
    stopListening();
    // Fails when the connection is gone already, which is what is wanted.
    reader.cancel().catch(() => {});
    watch.drop();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const { signal } = watch;
        if (signal === undefined) return;
        const stop = (): void => {
          drop();
          controller.error(signal.reason);
        };
        signal.addEventListener("abort", stop, { once: true });
        stopListening = () => signal.removeEventListener("abort", stop);
        if (signal.aborted) stop();
      },
      async pull(controller) {
        try {
          const piece = await within(reader.read(), watch);
          if (watch.signal?.aborted) return;
          if (!piece.done) {
            received += piece.value.byteLength;
            controller.enqueue(piece.value);
            return;
          }
          if (expected !== undefined && received < expected) throw tooShort();
          stopListening();
          watch.finish();
          controller.close();
        } catch (cause) {
          if (watch.signal?.aborted) return;
          drop();
          controller.error(BackendError.is(cause) ? cause : broken(cause));
        }
      },
      cancel: drop,
    },
    // A queue would read ahead, and start the clock of a silence while nobody waits.
    { highWaterMark: 0 },
  );

  function tooShort(): BackendError {
    const what = `${received} of ${expected} bytes before the connection ended`;
    return badOutput(watch.target, watch.call, what);
  }

  function broken(cause: unknown): BackendError {
    if (expected !== undefined) return tooShort();
    const { title } = watch.target;
    return new BackendError("BACKEND_LOST", `${title} broke off its answer to ${watch.call}`, {
      cause,
    });
  }
}

/** The whole body as text; an error when it is cut, larger than `maxBytes` or not UTF-8. */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  { target, call }: Pick<BodyWatch, "target" | "call">,
): Promise<string> {
  if (body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const reader = body.getReader();
  let received = 0;
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      received += value.byteLength;
      if (received > maxBytes) throw badOutput(target, call, `more than ${maxBytes} bytes`);
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    await reader.cancel().catch(() => {});
    if (cause instanceof TypeError) throw badOutput(target, call, "bytes that are not UTF-8");
    throw cause;
  }
}

/** Undefined when the server does not say. */
function expectedLength(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  return length === null ? undefined : Number(length);
}

async function within<T>(work: Promise<T>, watch: BodyWatch): Promise<T> {
  const { idleTimeoutMs, target, call } = watch;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(stalled(target, call, "fell silent in its answer to", idleTimeoutMs)),
      idleTimeoutMs,
    );
  });
  try {
    return await Promise.race([work, silence]);
  } finally {
    clearTimeout(timer);
  }
}
