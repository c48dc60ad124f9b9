/** Is it the described server that answers, and does it work? */
import { BackendError } from "../errors.ts";
import type { Context, Health } from "../plugin.ts";
import { askJson } from "./call.ts";
import { at } from "./fields.ts";
import type { RestJob } from "./types.ts";

/** What another program answers with. */
const OTHER = ["BACKEND_BAD_OUTPUT", "BACKEND_REJECTED"];

export async function healthOf<Config, Input>(
  { title, health }: RestJob<Config, Input>,
  { http }: Context<Config>,
  signal: AbortSignal,
): Promise<Health> {
  const { expect = {}, version, busy } = health;
  const answer = await askJson({ http, call: health, kept: {}, signal }).catch((cause: unknown) => {
    signal.throwIfAborted();
    if (!BackendError.is(cause) || !OTHER.includes(cause.code)) throw cause;
    const message = `What answers at ${http.baseUrl} is not ${title}; check the backend's url`;
    throw new BackendError("BACKEND_MISMATCH", message, { cause });
  });
  for (const [path, wanted] of Object.entries(expect)) {
    const value = at(answer, path);
    if (wanted.includes(value)) continue;
    const shown = JSON.stringify(value)?.slice(0, 100) ?? "nothing";
    throw new BackendError(
      "BACKEND_MISMATCH",
      `${title} at ${http.baseUrl} should say ${path} = ${wanted.join(" or ")}, not ${shown}`,
    );
  }
  const said = version === undefined ? undefined : at(answer, version);
  return {
    status: "ready",
    ...(typeof said === "string" || typeof said === "number" ? { version: String(said) } : {}),
    ...(busy === undefined ? {} : { busy: busy.words.includes(at(answer, busy.field)) }),
  };
}
