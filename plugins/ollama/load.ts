/**
 * Loads a model before the first request that needs it, so that the gateway sees the load by itself.
 * A request without a prompt is Ollama's documented way; models that only embed refuse it before
 * anything is loaded, and are loaded by an embedding of nothing. Tried on 0.11.4; the same in the
 * source of 0.33.0-rc2 (server/routes.go at fb30760).
 */
import { BackendError, type Context } from "switchyard/sdk";
import { translated } from "./failure.ts";
import { isCloudName, loadOptions } from "./names.ts";
import type { Settings } from "./settings.ts";

/** Ollama reads an empty prompt with a `keep_alive` of 0 as "unload". */
const UNTIL_THE_FIRST_REQUEST = "5m";

/** Settles when the model is loaded. Closing the connection ends the load. */
export async function load(
  { http, config }: Context<Settings>,
  model: string,
  signal: AbortSignal,
): Promise<void> {
  if (isCloudName(model)) return;
  const keep_alive = isZero(config.keep_alive) ? UNTIL_THE_FIRST_REQUEST : config.keep_alive;
  const body = { model, keep_alive, options: loadOptions(model, config) };
  const limits = { signal, timeoutMs: config.load_timeout_ms };
  try {
    await http.post("/api/generate", { ...body, stream: false }, limits).catch((error: unknown) => {
      if (!onlyEmbeds(error)) throw error;
      return http.post("/api/embed", { ...body, input: [] }, limits);
    });
  } catch (error) {
    throw translated(error, model, signal);
  }
}

function onlyEmbeds(error: unknown): boolean {
  return BackendError.is(error) && /does not support generate/.test(error.message);
}

/** `0`, `"0s"`, `"-0h0m"`: unload at once. */
function isZero(keepAlive: Settings["keep_alive"]): boolean {
  return !/[1-9]/.test(String(keepAlive));
}
