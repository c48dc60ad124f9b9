/**
 * One generation: asked for once, and followed to its end. The ids are ours and the server keeps what
 * it finished on disk, so every new line begins by asking what became of it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { BackendError, type Context, type Job } from "switchyard/sdk";
import { type Line, openLine } from "./line.ts";
import type { About, Ids, News } from "./protocol.ts";
import type { Settings } from "./settings.ts";

export interface Order {
  readonly ids: Ids;
  readonly prompt: string;
  readonly seconds: number;
}

/** Tokens per second of audio; the last three only fill up the pattern and are not reported. */
const TOKENS = 50;
const UNREPORTED = 3;
/** Silent lines in a row until the work counts as lost; decoding says nothing for its whole time. */
const PATIENCE = { generating: 4, decoding: 20 };
const PAUSE_MS = 500;

type Stage = keyof typeof PATIENCE;

/** Settles when the audio lies on the server's disk. */
export async function follow(job: Job, ctx: Context<Settings>, order: Order): Promise<About> {
  const { signal } = job;
  const silenceMs = ctx.config.silence_timeout_ms;
  let stage: Stage = "generating";
  for (let quiet = 0; quiet < PATIENCE[stage]; quiet += 1) {
    if (quiet > 0) {
      // The kernel would call a job stalled that reports nothing, and decoding reports nothing.
      if (stage === "decoding") job.progress(undefined, "decoding");
      await delay(PAUSE_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
    const line = await openLine(ctx, order.ids, { signal, silenceMs }).catch((error: unknown) => {
      // The first line must open; later the server may be away for a moment.
      if (quiet === 0 || signal.aborted) throw error;
      return undefined;
    });
    if (line === undefined) continue;
    try {
      line.say({ GetChat: { chat_id: order.ids.chat_id } });
      for (let news = await line.next(); news !== undefined; news = await line.next()) {
        if (news.kind === "ended") return ended(news.error, line.about);
        if (news.kind === "chat" && !news.known) submit(line, order);
        if (news.kind === "refused") throw failed(`did not take the request: ${news.error}`);
        if (news.kind === "started" || news.kind === "progress") quiet = 0;
        stage = report(job, news, order.seconds) ?? stage;
      }
    } finally {
      await line.close();
    }
  }
  throw new BackendError(
    "BACKEND_LOST",
    "MusicGPT says nothing more about the work; if that happens again, restart it",
  );
}

function submit(line: Line, { ids, prompt, seconds }: Order): void {
  line.say({ GenerateAudioNewChat: { ...ids, prompt, secs: seconds } });
}

/** Tells the job how far the work is; the stage, where the news shows it. */
function report(job: Job, news: News, seconds: number): Stage | undefined {
  if (news.kind === "started") job.progress(0, "generating");
  if (news.kind !== "progress") return undefined;
  const left = Math.round((1 - news.fraction) * seconds * TOKENS);
  const stage = left <= UNREPORTED ? "decoding" : "generating";
  job.progress(Math.min(news.fraction, 1) * 0.95, stage);
  return stage;
}

function ended(error: string, about: About): About {
  if (error === "") return about;
  throw error === "Aborted"
    ? failed("stopped the work for another client")
    : failed(`failed: ${error}`);
}

function failed(what: string): BackendError {
  const memory = /out of memory|failed to allocate|BFCArena/i.test(what);
  return new BackendError(memory ? "OUT_OF_MEMORY" : "BACKEND_FAILED", `MusicGPT ${what}`);
}
