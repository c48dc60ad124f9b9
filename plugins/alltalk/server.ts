/**
 * What is known of one AllTalk: which version, which engine, which voices. While it speaks, most
 * engines hold up the whole server, so then the last look counts and nothing is asked.
 */
import { BackendError, type Context, matches, type Static, t } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

const Paths = t.Object({ paths: t.Record(t.String(), t.Unknown()) });
/** Version 2 says what its engine can do; version 1 knows XTTS only. */
const Current = t.Object({
  current_engine_loaded: t.Optional(t.String()),
  current_model_loaded: t.Optional(t.Union([t.String(), t.Null()])),
  audio_format: t.Optional(t.String()),
  languages_capable: t.Optional(t.Boolean()),
  generationspeed_capable: t.Optional(t.Boolean()),
  temperature_capable: t.Optional(t.Boolean()),
  temperature_set: t.Optional(t.Number()),
  repetitionpenalty_capable: t.Optional(t.Boolean()),
  repetitionpenalty_set: t.Optional(t.Union([t.Number(), t.String()])),
  pitch_capable: t.Optional(t.Boolean()),
  pitch_set: t.Optional(t.Number()),
});
/** An engine with a single voice answers with `status: "error"` and lists none. */
const Voices = t.Object({ voices: t.Optional(t.Array(t.String())) });

export interface Server {
  readonly version: 1 | 2;
  readonly engine: string;
  readonly current: Static<typeof Current>;
  /** Undefined when the engine has one voice and no names. */
  readonly voices: readonly string[] | undefined;
}

export interface Known {
  /** Jobs of ours that AllTalk works on, also those that were cancelled meanwhile. */
  running: number;
  server?: Server;
}

const knownOf = new WeakMap<Settings, Known>();

export function known(config: Settings): Known {
  const there = knownOf.get(config) ?? { running: 0 };
  knownOf.set(config, there);
  return there;
}

/** "Ready", "Unloaded", or the start of what another program says. Hangs while AllTalk speaks. */
export async function ready(
  { http }: Context<Settings>,
  signal: AbortSignal,
  timeoutMs?: number,
): Promise<string> {
  const { body } = await http.fetch("/api/ready", { signal, timeoutMs });
  const reader = body?.getReader();
  const first = await reader?.read();
  await reader?.cancel().catch(() => {});
  return new TextDecoder().decode(first?.value?.subarray(0, 64)).trim();
}

/** The server as it is now; as it was last when it is speaking. */
export async function look(ctx: Context<Settings>, signal: AbortSignal): Promise<Server> {
  const state = known(ctx.config);
  if (state.running > 0 && state.server !== undefined) return state.server;
  state.server = await ask(ctx, signal);
  return state.server;
}

/** For the job that runs: nothing of ours is under way yet. */
export async function ask({ http }: Context<Settings>, signal: AbortSignal): Promise<Server> {
  const current = await http.get("/api/currentsettings", { as: Current, signal });
  // A page that newer versions may fail to make; what the settings tell is then enough.
  const pages = await http.get("/openapi.json", { signal }).catch((error: unknown) => {
    if (!BackendError.is(error) || error.code === "BACKEND_UNREACHABLE") throw error;
  });
  const paths = matches(Paths, pages) ? pages.paths : undefined;
  if (paths !== undefined && !("/api/tts-generate" in paths)) {
    throw new BackendError("BACKEND_MISMATCH", `no AllTalk answers at ${http.baseUrl}`);
  }
  const isNew = paths ? "/v1/audio/speech" in paths : current.current_engine_loaded !== undefined;
  const { voices } = await http.get("/api/voices", { as: Voices, signal });
  return {
    version: isNew ? 2 : 1,
    engine: current.current_engine_loaded ?? "xtts",
    current,
    voices: voices?.filter((name) => name !== "No Voices Found"),
  };
}
