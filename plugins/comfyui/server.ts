/** The server as a whole: how it is, and giving its memory back. */
import { BackendError, type Context, type Health, type HttpClient, poll, t } from "switchyard/sdk";
import { type LibrarySettings, reloadLibrary } from "./library.ts";

const Queue = t.Object({ exec_info: t.Object({ queue_remaining: t.Integer() }) });
const Stats = t.Object({
  system: t.Object({ comfyui_version: t.Optional(t.String()), python_version: t.String() }),
  devices: t.Array(
    t.Object({ type: t.String(), torch_vram_total: t.Number(), vram_free: t.Number() }),
  ),
});

/** How long freed memory may take to show; a running prompt is not waited for. */
const FREE_MS = 10_000;

export async function healthOf(
  { http, config }: Context<LibrarySettings>,
  signal: AbortSignal,
): Promise<Health> {
  const { problem } = reloadLibrary(config);
  if (problem) return { status: "down", reason: `Workflow templates: ${problem}` };
  try {
    const { exec_info } = await http.get("/prompt", { as: Queue, signal });
    const { system } = await http.get("/system_stats", { as: Stats, signal });
    const busy = exec_info.queue_remaining > 0;
    return { status: "ready", version: system.comfyui_version ?? "unknown", busy };
  } catch (cause) {
    const isOther = ["BACKEND_BAD_OUTPUT", "BACKEND_REJECTED"];
    if (!BackendError.is(cause) || !isOther.includes(cause.code)) throw cause;
    const message = `What answers at ${http.baseUrl} is not ComfyUI; check the backend's url`;
    throw new BackendError("BACKEND_MISMATCH", message, { cause });
  }
}

/**
 * Unloads everything: ComfyUI cannot drop one model, and tells nobody which ones it holds. It answers
 * at once and does it when the current prompt is done; settles when that shows. PyTorch's share does
 * not fall where newer versions hold the weights outside of it, so the device's free memory counts
 * as well. Where nothing shows, the probe decides.
 */
export async function freeAll(http: HttpClient, signal: AbortSignal): Promise<void> {
  const look = async () => {
    const [first] = (await http.get("/system_stats", { as: Stats, signal })).devices;
    return first === undefined || first.type === "cpu" ? undefined : first;
  };
  const before = await look();
  await http.post("/free", { unload_models: true, free_memory: true }, { signal });
  if (before === undefined || before.torch_vram_total === 0) return;
  const patience = AbortSignal.any([signal, AbortSignal.timeout(FREE_MS)]);
  const fallen = async () => {
    const now = await look();
    const { torch_vram_total = 0, vram_free = Number.POSITIVE_INFINITY } = now ?? {};
    return torch_vram_total < before.torch_vram_total || vram_free > before.vram_free || undefined;
  };
  await poll(fallen, { signal: patience, intervalMs: 100 }).catch(() => signal.throwIfAborted());
}
