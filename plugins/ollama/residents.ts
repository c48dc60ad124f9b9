/** What the server holds in memory, and how to make a model leave. */
import { BackendError, type Context, poll, type Resident, type Static, t } from "switchyard/sdk";
import { canonical } from "./names.ts";
import type { Settings } from "./settings.ts";

const MIB = 1024 ** 2;
/** `/api/ps` waits for Ollama's scheduler, which a model load holds for a while. */
const PS_TIMEOUT_MS = 60_000;

const Running = t.Object({
  models: t.Array(t.Object({ name: t.String(), size: t.Number(), size_vram: t.Number() })),
});
export type RunningModel = Static<typeof Running>["models"][number];

export async function residents(ctx: Context<Settings>, signal: AbortSignal): Promise<Resident[]> {
  return (await running(ctx, signal)).map(({ name, size_vram }) => ({
    model: canonical(name),
    residentMiB: Math.ceil(size_vram / MIB),
  }));
}

/** Settles when `/api/ps` no longer lists the model; a busy one stays until its request ends. */
export async function free(
  ctx: Context<Settings>,
  model: string,
  signal: AbortSignal,
): Promise<void> {
  const body = { model, keep_alive: 0, stream: false };
  await ctx.http.post("/api/generate", body, { signal }).catch((error: unknown) => {
    if (!BackendError.is(error) || !/not found/.test(error.message)) throw error;
  });
  const gone = async () =>
    (await running(ctx, signal)).some(({ name }) => canonical(name) === canonical(model))
      ? undefined
      : true;
  await poll(gone, { signal, intervalMs: 100 });
}

/** The models that Ollama says it holds; bytes. */
export async function running(
  { http }: Context<Settings>,
  signal: AbortSignal,
): Promise<RunningModel[]> {
  return (await http.get("/api/ps", { signal, as: Running, timeoutMs: PS_TIMEOUT_MS })).models;
}
