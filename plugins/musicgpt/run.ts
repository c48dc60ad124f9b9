/** A request for music: generated once, fetched by a path of our own making, and tidied up after. */
import { BackendError, type Context, isShutdown, type Job } from "switchyard/sdk";
import { follow, type Order } from "./generation.ts";
import { tell } from "./line.ts";
import { type About, type Ids, idsOf } from "./protocol.ts";
import { nameOf, type Settings } from "./settings.ts";
import { stop } from "./stop.ts";

export interface Input {
  readonly prompt: string;
  readonly duration_seconds?: number;
}

export interface Made {
  readonly files: readonly string[];
  readonly model: string;
  readonly device: string;
}

/** Seconds of a request that does not say. */
export const DEFAULT_SECONDS = 10;

export async function run(job: Job<Input>, ctx: Context<Settings>): Promise<Made> {
  const { prompt, duration_seconds: seconds = DEFAULT_SECONDS } = job.input;
  // Another attempt must not find the failure of the one before, so it has ids of its own.
  const ids = await job.step("ids", async () => idsOf(job.id, job.attempt));
  const { model, device } = await job.step("generation", () =>
    generate(job, ctx, { ids, prompt, seconds }),
  );
  const file = await fetchAudio(job, ctx, ids);
  const facts = { model: nameOf(model), device };
  const name = "music.wav";
  const artifact = await job.artifact(file, { name, mediaType: "audio/wav", metadata: facts });
  await forget(ctx, ids);
  return { files: [artifact.url], ...facts };
}

async function generate(job: Job<Input>, ctx: Context<Settings>, order: Order): Promise<About> {
  try {
    return await follow(job, ctx, order);
  } catch (error) {
    // A gateway that stops leaves the work and its chat to its successor.
    if (isShutdown(job.signal)) throw error;
    if (job.signal.aborted) {
      await stop(ctx, order.ids).catch((cause: unknown) =>
        ctx.log.warn("MusicGPT could not be told to stop", { job: job.id, cause: String(cause) }),
      );
    }
    await forget(ctx, order.ids);
    throw error;
  }
}

/** The server tells a path too, which is not needed: it is made of our id. */
async function fetchAudio(job: Job<Input>, ctx: Context<Settings>, ids: Ids): Promise<Response> {
  const path = `/files/audios/${ids.id}.wav`;
  const response = await ctx.http.fetch(path, { signal: job.signal }).catch((error: unknown) => {
    if (!BackendError.is(error) || error.code !== "BACKEND_REJECTED") throw error;
    throw new BackendError("BACKEND_BAD_OUTPUT", "MusicGPT reported success without a file");
  });
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("audio/")) return response;
  await response.body?.cancel();
  throw new BackendError("BACKEND_BAD_OUTPUT", `MusicGPT gave ${type || "no type"} for its audio`);
}

/** The server reads all chats for every visitor. That one stays behind is no reason to fail. */
async function forget(ctx: Context<Settings>, ids: Ids): Promise<void> {
  await tell(ctx, ids, { DelChat: { chat_id: ids.chat_id } }).catch((cause: unknown) =>
    ctx.log.debug("a chat stays behind", { chat: ids.chat_id, cause: String(cause) }),
  );
}
