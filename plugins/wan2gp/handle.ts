/** A job of WanGP's: how it is handed over, looked at and stopped. */
import { BackendError, type HttpClient, poll, type Static, t } from "switchyard/sdk";
import { callTool, toolSaid } from "./mcp.ts";
import { Result } from "./outcome.ts";
import type { Task } from "./task.ts";

export const Snapshot = t.Object({
  job_id: t.String(),
  done: t.Boolean(),
  updated_at: t.Number(),
  events: t.Array(t.Object({ kind: t.String(), data: t.Unknown() })),
  result: t.Union([Result, t.Null()]),
});
export type Snapshot = Static<typeof Snapshot>;

const EVENTS = 20;
const SUBMIT_MS = 120_000;
const CALL_MS = 20_000;
/** A model load looks at no cancel; it may take minutes. */
const SETTLE_MS = 10 * 60_000;

/** Without a signal: a call that is cut off on its way may have started the job all the same. */
export async function submit(http: HttpClient, task: Task): Promise<string> {
  const args = { source: task, wait: false, event_limit: 0 };
  const limits = { as: Snapshot, timeoutMs: SUBMIT_MS };
  const { job_id } = await callTool(http, "wangp_generate", args, limits).catch(
    (error: unknown) => {
      throw notTaken(toolSaid(error)) ?? error;
    },
  );
  return job_id;
}

/** Undefined when WanGP no longer knows the job. */
export async function lookUp(
  http: HttpClient,
  id: string,
  signal?: AbortSignal,
): Promise<Snapshot | undefined> {
  const args = { job_id: id, event_limit: EVENTS };
  const limits = { as: Snapshot, timeoutMs: CALL_MS, ...(signal && { signal }) };
  return callTool(http, "wangp_get_job", args, limits).catch((error: unknown) => {
    // The only reason for which this tool fails.
    if (toolSaid(error) !== undefined) return undefined;
    throw error;
  });
}

export async function cancel(http: HttpClient, id: string): Promise<void> {
  const args = { job_id: id, event_limit: 0 };
  await callTool(http, "wangp_cancel_job", args, { as: t.Unknown(), timeoutMs: CALL_MS }).catch(
    (error: unknown) => {
      if (toolSaid(error) === undefined) throw error;
    },
  );
}

/** Cancels until WanGP is done with the job: it stops where it looks, and may miss the first. */
export async function settle(http: HttpClient, id: string): Promise<void> {
  const gone = async (): Promise<true | undefined> => {
    try {
      if ((await lookUp(http, id))?.done !== false) return true;
      await cancel(http, id);
    } catch (error) {
      if (BackendError.is(error) && error.code === "BACKEND_UNREACHABLE") return true;
    }
    return undefined;
  };
  const limits = { signal: AbortSignal.timeout(SETTLE_MS), intervalMs: 100, maxIntervalMs: 2_000 };
  await poll(gone, limits).catch(() => {});
}

/**
 * It takes one job at a time, whoever sends it. Newer MCP packages hide the tool's words; what is
 * sent was checked before, so being busy is what is left.
 */
function notTaken(said: string | undefined): BackendError | undefined {
  if (said === undefined) return undefined;
  if (/already has a generation in progress/i.test(said)) {
    return new BackendError("BACKEND_BUSY", "WanGP works on another job");
  }
  if (/^Error executing tool \w+\.?$/.test(said.trim())) {
    const message = "WanGP did not take the job and hides why; mostly it works on another one";
    return new BackendError("BACKEND_BUSY", message);
  }
  return new BackendError("BACKEND_REJECTED", `WanGP refused the job: ${said}`);
}
