/**
 * What the server knows about one prompt. This is the truth about a job; the socket only decorates.
 */
import { BackendError, type HttpClient, type Static, t } from "switchyard/sdk";

export interface Prompt {
  readonly state: "pending" | "in_progress" | "completed" | "failed" | "cancelled" | "unknown";
  /** By node id, as each node told it. */
  readonly outputs?: unknown;
  readonly execution_error?: unknown;
}

const Status = t.Union(
  (["pending", "in_progress", "completed", "failed", "cancelled"] as const).map((s) =>
    t.Literal(s),
  ),
);
const JobView = t.Object({
  status: Status,
  outputs: t.Optional(t.Unknown()),
  execution_error: t.Optional(t.Unknown()),
});
const Messages = t.Array(t.Tuple([t.String(), t.Unknown()]));
const History = t.Record(
  t.String(),
  t.Object({
    outputs: t.Unknown(),
    status: t.Union([t.Null(), t.Object({ status_str: t.String(), messages: Messages })]),
  }),
);
const QueueItem = t.Array(t.Unknown(), { minItems: 2 });
export const Queue = t.Object({
  queue_running: t.Array(QueueItem),
  queue_pending: t.Array(QueueItem),
});

/** A prompt comes back with its graph, which may hold pictures as text. */
export const MAX_BYTES = 64 * 1024 * 1024;

export const isAlive = ({ state }: Prompt): boolean =>
  state === "pending" || state === "in_progress";

/** `unknown`: never accepted, deleted from the queue, or forgotten by a restart. */
export async function lookUp(http: HttpClient, id: string, signal: AbortSignal): Promise<Prompt> {
  try {
    const options = { as: JobView, signal, maxBytes: MAX_BYTES };
    const { status, ...rest } = await http.get(`/api/jobs/${id}`, options);
    return { state: status, ...rest };
  } catch (error) {
    if (!isMissing(error)) throw error;
    // The route answers JSON when it exists; a server before 2025-12 has no such route.
    if (error.details?.answer !== undefined) return { state: "unknown" };
    return lookUpInHistory(http, id, signal);
  }
}

/** The queue first: a prompt that ends between the two calls is then in the history. */
async function lookUpInHistory(http: HttpClient, id: string, signal: AbortSignal): Promise<Prompt> {
  const options = { signal, maxBytes: MAX_BYTES };
  const queue = await http.get("/queue", { as: Queue, ...options });
  const history = await http.get(`/history/${id}`, { as: History, ...options });
  const entry = history[id];
  if (!entry) return { state: stateInQueue(queue, id) };
  const { outputs, status } = entry;
  if (!status || status.status_str === "success") return { state: "completed", outputs };
  const said = (event: string) => status.messages.find(([name]) => name === event)?.[1];
  if (said("execution_interrupted")) return { state: "cancelled" };
  return { state: "failed", execution_error: said("execution_error") };
}

export function stateInQueue(queue: Static<typeof Queue>, id: string): Prompt["state"] {
  const holds = (items: readonly unknown[][]) => items.some((item) => item[1] === id);
  if (holds(queue.queue_running)) return "in_progress";
  return holds(queue.queue_pending) ? "pending" : "unknown";
}

/** The server does not know the path: not found, or no such method there. */
export function isMissing(error: unknown): error is BackendError {
  return BackendError.is(error) && [404, 405].includes(Number(error.details?.status));
}
