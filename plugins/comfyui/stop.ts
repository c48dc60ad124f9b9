/** Stops a prompt, and waits until nothing of it runs any more. */
import { BackendError, type HttpClient, poll } from "switchyard/sdk";
import { isAlive, isMissing, lookUp, MAX_BYTES, Queue, stateInQueue } from "./prompt.ts";

/** A model load or one long operation looks at no interrupt; it may take minutes. */
const SETTLE_MS = 5 * 60_000;
const CALL_MS = 10_000;

/** Asks once. A running node only stops where it looks. */
export async function cancel(http: HttpClient, id: string): Promise<void> {
  const signal = AbortSignal.timeout(CALL_MS);
  try {
    await http.post(`/api/jobs/${id}/cancel`, {}, { signal });
  } catch (error) {
    if (!isMissing(error)) throw error;
    await http.post("/queue", { delete: [id] }, { signal });
    const queue = await http.get("/queue", { as: Queue, signal, maxBytes: MAX_BYTES });
    // Servers before 2025-09 interrupt whatever runs, so it must be ours.
    if (stateInQueue(queue, id) !== "in_progress") return;
    await http.post("/interrupt", { prompt_id: id }, { signal });
  }
}

/** Cancels until the server is done with the prompt. A request may come too early and be lost. */
export async function settle(http: HttpClient, id: string): Promise<void> {
  const signal = AbortSignal.timeout(SETTLE_MS);
  const gone = async () => {
    try {
      if (!isAlive(await lookUp(http, id, signal))) return true;
      await cancel(http, id);
    } catch (error) {
      if (BackendError.is(error) && error.code === "BACKEND_UNREACHABLE") return true;
    }
    return undefined;
  };
  await poll(gone, { signal, intervalMs: 100, maxIntervalMs: 1_000 }).catch(() => {});
}
