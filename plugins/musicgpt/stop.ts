/** Ends a generation on the server, and knows when it has ended. */
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "switchyard/sdk";
import { openLine } from "./line.ts";
import type { Ids } from "./protocol.ts";
import type { Settings } from "./settings.ts";

const LIMIT_MS = 600_000;
const SILENCE_MS = 1_000;
const PAUSE_MS = 500;

/**
 * Settles when the server works on it no more. An abort takes effect with the next token, or, while
 * it decodes, not at all; and the job behind an aborted one is lost, so nothing may be sent before.
 */
export async function stop(ctx: Context<Settings>, ids: Ids): Promise<void> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  for (let looks = 1; ; looks += 1) {
    const line = await openLine(ctx, ids, { signal, silenceMs: SILENCE_MS });
    try {
      line.say({ AbortGeneration: ids });
      line.say({ GetChat: { chat_id: ids.chat_id } });
      for (let news = await line.next(); news !== undefined; news = await line.next()) {
        if (news.kind === "ended") return;
        // What was sent just before the abort may still be on its way, so one look is not enough.
        if (news.kind === "chat" && !news.started && looks > 1) return;
        if (news.kind === "chat" && !news.started) break;
      }
    } finally {
      await line.close();
    }
    await delay(PAUSE_MS);
  }
}
