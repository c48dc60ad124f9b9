/** A Gradio program as a transport. */
import { randomBytes } from "node:crypto";
import { BackendError } from "../errors.ts";
import type { Context, Health, Transport } from "../plugin.ts";
import { createConnections, type Link } from "./connect.ts";
import { optionsFrom } from "./declared.ts";
import { createOpenWork, type OpenWork } from "./open-work.ts";
import { untilIdle } from "./orphan.ts";
import { offered } from "./payload.ts";
import { run } from "./run.ts";
import type { GradioApp } from "./types.ts";

/** `app` may depend on the backend's settings; it must say the same for the same ones. */
export function gradioApp<Config, Input>(
  app: GradioApp<Config, Input> | ((config: Config) => GradioApp<Config, Input>),
): Transport<Config, Input> {
  const appOf = (config: Config): GradioApp<Config, Input> =>
    typeof app === "function" ? app(config) : app;
  const connections = createConnections(appOf);
  const openWork = new Map<string, OpenWork>();

  function openOf(ctx: Context<Config>): OpenWork {
    const open = openWork.get(ctx.folder) ?? createOpenWork(ctx);
    openWork.set(ctx.folder, open);
    return open;
  }

  /** Work of a gateway that died keeps the backend busy until it is over. */
  async function watchLeftovers(link: Link, open: OpenWork): Promise<void> {
    for (const { entry, over } of await open.leftBehind()) {
      const { session, appId, endpoint } = entry;
      if (appId !== link.bound.appId) await over();
      else void untilIdle(link, { session, appId, callee: calleeOf(link, endpoint) }).finally(over);
    }
  }

  return {
    async health(ctx, signal): Promise<Health> {
      const link = await connections.open(ctx, signal).catch(otherProgram);
      if (typeof link === "string") return { status: "degraded", reason: link };
      const { server } = link.bound;
      const reason = appOf(ctx.config).refuse?.(server);
      if (reason !== undefined) return { status: "degraded", reason };
      const open = openOf(ctx);
      await watchLeftovers(link, open);
      const isBusy = open.size > 0;
      const version = `Gradio ${server.version}`;
      return { status: "ready", version, ...(isBusy ? { busy: true } : {}) };
    },
    run(job, ctx) {
      const ports = { app: appOf(ctx.config), connections, open: openOf(ctx), newSession };
      return run(ports, job, ctx);
    },
    async options(ctx, signal) {
      const { bound } = await connections.open(ctx, signal);
      return optionsFrom(offered(appOf(ctx.config), bound.callee));
    },
  };
}

const newSession = (): string => randomBytes(12).toString("hex");

/** Gradio, but not the program that is meant: the exact difference, to be shown. */
function otherProgram(error: unknown): string {
  const isGradio =
    BackendError.is(error) &&
    error.code === "BACKEND_MISMATCH" &&
    error.details?.version !== undefined;
  if (!isGradio) throw error;
  return error.message;
}

function calleeOf({ bound }: Link, endpoint: string): Link["bound"]["callee"] {
  try {
    return bound.other(endpoint);
  } catch {
    return bound.callee;
  }
}
