/** Is it Ollama that answers, and is it a version that one should run? */
import { BackendError, type Context, type Health, t } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

/** Older ones leak their memory to anybody who may create a model (CVE-2026-7482). */
const OLDEST_SAFE = [0, 17, 1] as const;

const Version = t.Object({ version: t.String({ minLength: 1 }) });

/** `/api/version` is cheap and answers while models load. */
export async function health({ http }: Context<Settings>, signal: AbortSignal): Promise<Health> {
  const options = { signal, as: Version, timeoutMs: 5_000 };
  const { version } = await http.get("/api/version", options).catch((error: unknown) => {
    throw BackendError.is(error) ? explained(error, http.baseUrl) : error;
  });
  if (isOlder(version)) {
    const least = OLDEST_SAFE.join(".");
    const hole = "has a known security hole (CVE-2026-7482)";
    return {
      status: "degraded",
      reason: `Ollama ${version} ${hole}; update it to ${least} or later`,
    };
  }
  return { status: "ready", version };
}

function explained(error: BackendError, url: string): BackendError {
  if (/\b403\b/.test(error.message)) {
    const message =
      `Ollama at ${url} refuses this host name (403); use 127.0.0.1 in the url, ` +
      "or start Ollama with OLLAMA_HOST=0.0.0.0 on a private network";
    return new BackendError("BACKEND_MISMATCH", message, { cause: error });
  }
  if (error.code === "BACKEND_BAD_OUTPUT" || error.code === "BACKEND_REJECTED") {
    const message = `${url} answers, but not as Ollama does; check the backend's url`;
    return new BackendError("BACKEND_MISMATCH", message, { cause: error });
  }
  return error;
}

/** A build without a version says 0.0.0; nothing can be said about it. */
function isOlder(version: string): boolean {
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
  if (parts === undefined || parts.every((part) => part === 0)) return false;
  const differs = OLDEST_SAFE.findIndex((least, index) => parts[index] !== least);
  return differs >= 0 && (parts[differs] ?? 0) < (OLDEST_SAFE[differs] ?? 0);
}
