/** How a job of WanGP's ended, in the errors that the kernel understands. */
import { BackendError, type Static, t } from "switchyard/sdk";
import { Item } from "./gallery.ts";

export const Result = t.Object({
  success: t.Boolean(),
  cancelled: t.Optional(t.Boolean()),
  generated_files: t.Array(t.String()),
  errors: t.Optional(
    t.Array(t.Object({ message: t.String(), stage: t.Optional(t.Union([t.String(), t.Null()])) })),
  ),
  gallery_items: t.Optional(t.Array(Item)),
});
export type Result = Static<typeof Result>;

/** WanGP writes "unsufficient"; PyTorch's own words come where it did not catch them. */
const OUT_OF_MEMORY = /(un|in)sufficient V?RAM|out of memory|Tried to allocate/i;
/** A folder on WanGP's machine is nobody's business outside. */
const FOLDERS = /(?:[A-Za-z]:[\\/]|\/)(?:[^\s'":\\/]+[\\/])*/g;
const MAX_MESSAGE = 500;

/** The files that were made. Throws when it failed, or made none. */
export function filesOf({ success, cancelled, errors = [], ...result }: Result): readonly Item[] {
  if (cancelled) {
    throw new BackendError("BACKEND_REJECTED", "Somebody cancelled the job in WanGP itself");
  }
  if (!success || errors.length > 0) {
    const { message = "WanGP failed and does not say why", stage } = errors[0] ?? {};
    throw failureOf(message, stage === "validation");
  }
  const items = result.gallery_items ?? [];
  if (items.length > 0) return items;
  const made = result.generated_files.length;
  const why = made === 0 ? "made no file" : `does not give out the ${made} files that it made`;
  throw new BackendError("BACKEND_BAD_OUTPUT", `WanGP reports success but ${why}`);
}

export function failureOf(message: string, isRefusal: boolean): BackendError {
  const said = message.replace(FOLDERS, "").replace(/\s+/g, " ").trim().slice(0, MAX_MESSAGE);
  if (OUT_OF_MEMORY.test(message)) {
    return new BackendError("OUT_OF_MEMORY", `WanGP ran out of memory: ${said}`);
  }
  return isRefusal
    ? new BackendError("BACKEND_REJECTED", `WanGP refused the request: ${said}`)
    : new BackendError("BACKEND_FAILED", `WanGP failed: ${said}`);
}
