/**
 * Hands a graph to ComfyUI exactly once, also when an answer or the gateway was lost on the way.
 */
import {
  BackendError,
  type Context,
  type HttpClient,
  type Job,
  type Static,
  t,
} from "switchyard/sdk";
import { NodeErrors, nodesRefused, refusalOf } from "./failure.ts";
import { filesOf } from "./outputs.ts";
import type { Plan } from "./plan.ts";
import { isAlive, lookUp } from "./prompt.ts";
import { settle } from "./stop.ts";

export interface SubmitSettings {
  readonly allow_partial: boolean;
  readonly preview_method: string;
}

const Accepted = t.Object({ prompt_id: t.String(), node_errors: t.Optional(NodeErrors) });

/** ComfyUI checks the whole graph before it answers. */
const SUBMIT_MS = 60_000;
/** After these the prompt may have been accepted all the same. */
const DOUBTFUL = ["BACKEND_UNREACHABLE", "BACKEND_LOST", "BACKEND_BAD_OUTPUT", "STALLED"];

export async function submit(
  job: Job,
  { http, config, log }: Context<SubmitSettings>,
  plan: Plan,
  clientId: string,
): Promise<void> {
  // The server takes the same id twice and then runs both, so it is asked first.
  if (job.attempt > 1 && (await adopts(http, job, plan))) {
    log.info("picked up a prompt of an earlier attempt", { job: job.id });
    return;
  }
  const body = {
    prompt: plan.graph,
    prompt_id: job.id,
    client_id: clientId,
    extra_data: { preview_method: config.preview_method },
  };
  const { node_errors = {} } = await post(job, http, body);
  if (Object.keys(node_errors).length === 0) return;
  if (config.allow_partial) {
    // Not the errors themselves: they repeat what was asked for.
    const nodes = Object.keys(node_errors);
    log.warn("ComfyUI leaves out a part of the workflow", { job: job.id, nodes });
    return;
  }
  // It was accepted without the outputs that are wrong: half a result is not what was asked for.
  await settle(http, job.id);
  throw nodesRefused(node_errors);
}

/** Not with the job's signal: a request cut off on its way might be accepted after we looked. */
async function post(
  job: Job,
  http: HttpClient,
  body: Record<string, unknown>,
): Promise<Pick<Static<typeof Accepted>, "node_errors">> {
  const send = () => http.post("/prompt", body, { as: Accepted, timeoutMs: SUBMIT_MS });
  try {
    return await send();
  } catch (error) {
    if (!BackendError.is(error) || !DOUBTFUL.includes(error.code)) throw refusalOf(error);
    if ((await lookUp(http, job.id, job.signal)).state !== "unknown") return {};
  }
  return send().catch((error) => {
    throw refusalOf(error);
  });
}

/**
 * True when the prompt of an earlier attempt will do; else it is forgotten, so that it can rerun.
 */
async function adopts(http: HttpClient, job: Job, plan: Plan): Promise<boolean> {
  const prompt = await lookUp(http, job.id, job.signal);
  if (prompt.state === "unknown") return false;
  if (isAlive(prompt)) return true;
  if (prompt.state === "completed" && filesOf(prompt.outputs, plan.output).length > 0) return true;
  // While the id is in the history, the new prompt would look as if it had ended already.
  await http.post("/history", { delete: [job.id] }, { signal: job.signal });
  return false;
}
