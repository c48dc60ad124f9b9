/** A body as a stream, looked at on its way into the store. */
import { GatewayError } from "../errors.ts";
import { BackendError } from "../sdk/errors.ts";
import type { ArtifactBody } from "../sdk/job.ts";
import type { Findings, Inspector } from "./inspect.ts";

export function openBody(body: ArtifactBody): {
  readonly stream: ReadableStream<Uint8Array>;
  readonly declared?: string;
} {
  if (body instanceof ReadableStream) return { stream: body };
  if (body instanceof Uint8Array) return { stream: streamOf(body) };
  if (body instanceof Blob) return { stream: body.stream(), declared: body.type || undefined };
  if (!body.ok) {
    body.body?.cancel().catch(() => {});
    throw new BackendError("BACKEND_BAD_OUTPUT", `The output was answered with ${body.status}`);
  }
  return {
    stream: body.body ?? streamOf(new Uint8Array(0)),
    declared: body.headers.get("content-type") ?? undefined,
  };
}

/**
 * The same stream, seen by the inspector. What is wrong with the file fails the stream before its
 * end, so that no driver ever keeps it.
 */
export function inspected(source: ReadableStream<Uint8Array>, inspector: Inspector) {
  const reader = source.getReader();
  let findings: Findings | undefined;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read().catch((cause) => Promise.reject(broken(cause)));
        if (!done) {
          inspector.feed(value);
          controller.enqueue(value);
          return;
        }
        findings = inspector.finish();
        controller.close();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return {
    stream,
    findings(): Findings {
      if (!findings) throw new Error("the blob store did not read to the end");
      return findings;
    },
  };
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

/** A connection that broke in the middle of the file; errors that have a class keep it. */
function broken(cause: unknown): unknown {
  const known = BackendError.is(cause) || cause instanceof GatewayError;
  if (known || (cause instanceof DOMException && cause.name === "AbortError")) return cause;
  return new BackendError("BACKEND_LOST", "The output broke off while it was read", { cause });
}
