/** One job from its graph to its pictures. */
import { BackendError, type Context, type HttpClient, isShutdown, type Job } from "switchyard/sdk";
import { executionFailure } from "./failure.ts";
import type { Request } from "./input.ts";
import { collect, filesOf } from "./outputs.ts";
import { planOf } from "./plan.ts";
import { isAlive, lookUp, type Prompt } from "./prompt.ts";
import type { RequestSettings } from "./request.ts";
import { cancel, settle } from "./stop.ts";
import { type SubmitSettings, submit } from "./submit.ts";
import { upload } from "./upload.ts";
import { type Watch, watch } from "./watch.ts";

export type RunSettings = RequestSettings & SubmitSettings;

const POLL_MS = 1_000;
/** ComfyUI keeps its queue in memory: gone for this long means that the prompt is gone. */
const LOST_MS = 15_000;

export async function run(
  job: Job<Request>,
  context: Context<RunSettings>,
): Promise<Record<string, unknown>> {
  const { http, config } = context;
  const plan = planOf(job.input, config, job);
  const socket = watch(job, context, Object.keys(plan.graph));
  job.onCancel(async () => {
    if (!isShutdown(job.signal)) await cancel(http, job.id);
  });
  try {
    const { clientId } = await job.step("submit", async () => {
      // A new id for every attempt: ComfyUI silences a socket that takes over another one's id.
      const clientId = `${job.id}-${job.attempt}`;
      await socket.connect(clientId);
      const picture = await upload(job, http);
      const sent = picture ? planOf(job.input, config, job, picture) : plan;
      await submit(job, context, sent, clientId);
      return { clientId };
    });
    // After a restart: events only go to the id that the prompt was sent with.
    await socket.connect(clientId);
    const prompt = await ended(job, http, socket);
    const files = filesOf(prompt.outputs, plan.output);
    const artifacts = await collect(job, http, files, { ...plan.labels });
    return { ...plan.labels, files: artifacts.map(({ url }) => url) };
  } catch (error) {
    // The lease ends with this function, so it must not end before ComfyUI is done with the prompt.
    // A gateway that stops leaves the prompt to its successor.
    if (job.signal.aborted && !isShutdown(job.signal)) await settle(http, job.id);
    job.signal.throwIfAborted();
    throw error;
  } finally {
    await socket.close();
  }
}

/** Asks until the prompt has ended well; throws what else became of it. */
async function ended(job: Job, http: HttpClient, socket: Watch): Promise<Prompt> {
  let heardMs = performance.now();
  for (;;) {
    job.signal.throwIfAborted();
    const prompt = await lookUp(http, job.id, job.signal).catch((cause: unknown) => {
      job.signal.throwIfAborted();
      if (performance.now() - heardMs < LOST_MS) return undefined;
      const message = "ComfyUI stopped answering while it worked on the job";
      throw new BackendError("BACKEND_LOST", message, { cause });
    });
    if (prompt) heardMs = performance.now();
    if (prompt?.state === "completed") return prompt;
    if (prompt && !isAlive(prompt)) throw failureOf(prompt);
    await socket.pause(POLL_MS);
  }
}

function failureOf({ state, execution_error }: Prompt): BackendError {
  if (state === "failed") return executionFailure(execution_error);
  if (state === "cancelled") {
    return new BackendError("BACKEND_REJECTED", "Somebody cancelled the job in ComfyUI itself");
  }
  const message = "ComfyUI no longer knows the job: it was restarted, or its queue was cleared";
  return new BackendError("BACKEND_LOST", message);
}
