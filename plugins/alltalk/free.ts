/** Makes room on the GPU, in the one way that AllTalk has. */
import { BackendError, type Context, t } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

const Answer = t.Object({ status: t.String(), message: t.Optional(t.String()) });
/** It loads the model anew, into the computer's memory. */
const RELOAD_MS = 120_000;

/** AllTalk stays in LowVRAM mode: the model then goes to the GPU and back with every request. */
export async function free(
  { http, config }: Context<Settings>,
  _model: string,
  signal: AbortSignal,
): Promise<void> {
  if (!config.free_by_low_vram) throw cannot("the setting free_by_low_vram does not allow it");
  const { status, message } = await http.post("/api/lowvramsetting", undefined, {
    as: Answer,
    signal,
    query: { new_low_vram_value: true },
    timeoutMs: RELOAD_MS,
  });
  if (!/success$/.test(status)) throw cannot(message ?? status);
}

const cannot = (why: string): BackendError =>
  new BackendError("BACKEND_REJECTED", `AllTalk does not give its GPU memory back: ${why}`);
