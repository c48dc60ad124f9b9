/** Who answers: only the first words on the WebSocket prove that it is MusicGPT. */
import type { Context, Health, ModelEntry } from "switchyard/sdk";
import { openLine } from "./line.ts";
import { type About, idsOf } from "./protocol.ts";
import { nameOf, type Settings } from "./settings.ts";

const SILENCE_MS = 10_000;

export async function health(ctx: Context<Settings>, signal: AbortSignal): Promise<Health> {
  const { model } = await about(ctx, signal);
  const name = nameOf(model);
  if (name === ctx.config.model) return { status: "ready" };
  const reason = `the server runs ${name}, and the setting model says ${ctx.config.model}`;
  return { status: "degraded", reason: `${reason}: GPU memory is counted wrong` };
}

/** The one model that the server was started with. */
export async function models(
  ctx: Context<Settings>,
  signal: AbortSignal,
): Promise<readonly ModelEntry[]> {
  const { model, device } = await about(ctx, signal);
  return [{ name: nameOf(model), title: model, device }];
}

async function about(ctx: Context<Settings>, signal: AbortSignal): Promise<About> {
  const line = await openLine(ctx, idsOf("", 0), { signal, silenceMs: SILENCE_MS });
  await line.close();
  return line.about;
}
