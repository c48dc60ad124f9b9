/** Whether AllTalk is well. While it speaks it may answer nobody, which is no illness. */
import type { Context, Health } from "switchyard/sdk";
import { known, look, ready, type Server } from "./server.ts";
import type { Settings } from "./settings.ts";

export async function healthOf(ctx: Context<Settings>, signal: AbortSignal): Promise<Health> {
  const { running, server: last } = known(ctx.config);
  if (running > 0) return { status: "ready", version: last && named(last), busy: true };
  const said = await ready(ctx, signal);
  if (said === "Unloaded") return { status: "down", reason: "AllTalk has no engine loaded yet" };
  if (said !== "Ready") {
    return { status: "down", reason: "what answers is not AllTalk; check the backend's url" };
  }
  const server = await look(ctx, signal);
  const { engine } = ctx.config;
  if (engine === "auto" || engine === server.engine) {
    return { status: "ready", version: named(server), busy: false };
  }
  const reason = `AllTalk runs ${server.engine}, the setting engine says ${engine}: change one`;
  return { status: "degraded", reason };
}

const named = ({ version, engine }: Server): string => `v${version} with ${engine}`;
