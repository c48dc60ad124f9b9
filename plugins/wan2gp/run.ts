/** One job over WanGP's server, from the request to the files. */
import { BackendError, type Context, isShutdown, type Job, poll } from "switchyard/sdk";
import { downloadAll } from "./gallery.ts";
import { cancel, lookUp, settle, submit } from "./handle.ts";
import { type Kind, modelOf, type Request } from "./input.ts";
import { checkModel } from "./model.ts";
import { filesOf, type Result } from "./outcome.ts";
import { progressOf, tell } from "./progress.ts";
import type { Settings } from "./settings.ts";
import { taskOf } from "./task.ts";
import { uploadAll } from "./upload.ts";

/** WanGP keeps its jobs in memory: gone for this long means that they are gone. */
const LOST_MS = 20_000;

interface Handle {
  readonly id: string;
  /** Weights are downloaded first, in silence. */
  readonly downloads: boolean;
}

export async function generate(
  kind: Kind,
  job: Job<Request>,
  ctx: Context<Settings>,
): Promise<unknown> {
  const { http, config } = ctx;
  let started: string | undefined;
  try {
    const handle = await job.step("submit", async (): Promise<Handle> => {
      const downloads = await checkModel(kind, job.input, ctx, job.signal);
      const media = await uploadAll(job, http);
      job.signal.throwIfAborted();
      started = await submit(http, taskOf(kind, job.input, config, media));
      return { id: started, downloads };
    });
    started = handle.id;
    job.onCancel(async () => {
      if (!isShutdown(job.signal)) await cancel(http, handle.id);
    });
    const items = filesOf(await ended(handle, job, ctx));
    const seed = items[0]?.settings?.seed;
    const facts = { model: modelOf(kind, job.input, config), ...(seed !== undefined && { seed }) };
    const artifacts = await downloadAll(job, http, items, facts);
    return { files: artifacts.map(({ url }) => url), ...facts };
  } catch (error) {
    // The lease ends with this function; a gateway that stops leaves the job to its successor.
    const isOurs = job.signal.aborted && !isShutdown(job.signal);
    if (started !== undefined && isOurs) await settle(http, started);
    job.signal.throwIfAborted();
    throw error;
  }
}

/** Asks until the job has ended, and tells what is new. */
async function ended(
  { id, downloads }: Handle,
  job: Job,
  { http, config }: Context<Settings>,
): Promise<Result> {
  const startedMs = performance.now();
  let heardMs = startedMs;
  let updated = 0;
  let computes = !downloads;
  const look = async (): Promise<Result | undefined> => {
    const snapshot = await lookUp(http, id, job.signal).catch((cause: unknown) => {
      job.signal.throwIfAborted();
      if (!BackendError.is(cause) || performance.now() - heardMs > LOST_MS) throw lost(cause);
      return null;
    });
    if (snapshot === undefined) throw lost();
    if (snapshot === null) return undefined;
    heardMs = performance.now();
    if (snapshot.result !== null) return snapshot.result;
    const now = progressOf(snapshot);
    computes ||= now !== undefined && now.phase !== "loading_model";
    if (!computes) {
      if (heardMs - startedMs > config.download_timeout_ms) throw stalled(config);
      job.progress(undefined, "downloading the model's weights");
    } else if (snapshot.updated_at > updated) {
      tell(job, now);
    }
    updated = snapshot.updated_at;
    return undefined;
  };
  const intervalMs = config.poll_interval_ms;
  return poll(look, { signal: job.signal, intervalMs, maxIntervalMs: intervalMs });
}

const lost = (cause?: unknown): BackendError =>
  new BackendError("BACKEND_LOST", "WanGP has lost the job: it was restarted, or it died", {
    cause,
  });

const stalled = ({ download_timeout_ms: limit }: Settings): BackendError =>
  new BackendError("STALLED", `WanGP's download of weights was not done after ${limit} ms`);
