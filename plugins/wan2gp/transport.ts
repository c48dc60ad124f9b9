/** Both ways to WanGP, and the one that the operator chose. */
import type { Context, Health, Job } from "switchyard/sdk";
import { cliFor } from "./cli.ts";
import { modelsIn } from "./folder.ts";
import { type Kind, kinds, offers, type Request } from "./input.ts";
import { everyKnob } from "./knobs.ts";
import { generate } from "./run.ts";
import * as server from "./server.ts";
import type { Settings } from "./settings.ts";

const commands = Object.fromEntries(kinds.map((kind) => [kind, cliFor(kind)]));

export async function health(ctx: Context<Settings>, signal: AbortSignal): Promise<Health> {
  if (ctx.config.variant === "mcp") return server.healthOf(ctx, signal);
  const all = await Promise.all(
    offers(ctx.config).map((kind) => commands[kind]?.health(ctx, signal)),
  );
  const unwell = all.find((one) => one?.status !== "ready");
  return unwell ?? { status: "ready", busy: all.some((one) => one && "busy" in one && one.busy) };
}

export async function models(ctx: Context<Settings>, signal: AbortSignal) {
  const { variant, folder = "" } = ctx.config;
  return variant === "mcp" ? server.modelsOf(ctx, signal) : modelsIn(folder);
}

/** What a capability of this kind has beside its fields. */
export const workOf = (kind: Kind) => ({
  restart: "resume" as const,
  run: (job: Job<Request>, ctx: Context<Settings>) =>
    ctx.config.variant === "mcp" ? generate(kind, job, ctx) : commands[kind]?.run(job, ctx),
  options: async (ctx: Context<Settings>, signal: AbortSignal) =>
    ctx.config.variant === "mcp" ? server.optionsOf(kind, ctx, signal) : everyKnob(),
});
