/** One request to a worker: settles at its result, at its end, or at once when it is cancelled. */
import type { Worker } from "node:worker_threads";
import { BackendError } from "switchyard/sdk";
import type { Reply, Request, Result } from "./protocol.ts";

export function exchange(
  worker: Worker,
  request: Request,
  signal: AbortSignal,
  progress: (fraction: number) => void,
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const onAbort = (): void => reject(signal.reason);
  const onMessage = (reply: Reply): void => {
    if (reply.kind === "progress") progress(reply.fraction);
    else if (reply.kind === "failed") {
      reject(new BackendError("BACKEND_FAILED", `eSpeak NG failed: ${reply.message}`));
    } else resolve(reply);
  };
  const onEnd = (cause: unknown): void => {
    const message = "the speech worker ended before it was done";
    reject(new BackendError("BACKEND_LOST", message, { cause }));
  };
  signal.addEventListener("abort", onAbort);
  worker.on("message", onMessage);
  worker.on("error", onEnd);
  worker.on("exit", onEnd);
  worker.postMessage(request);
  return promise.finally(() => {
    signal.removeEventListener("abort", onAbort);
    worker.off("message", onMessage);
    worker.off("error", onEnd);
    worker.off("exit", onEnd);
  });
}
