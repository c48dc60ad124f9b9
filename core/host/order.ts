/** The order in which backends are tried for a request that names none. */
import { accepts, usable } from "./health.ts";
import { isFallback, type Offer } from "./services.ts";

/**
 * Those that work, then those that the next job would start, then the fallbacks, then those that
 * nobody knows about yet, then those that no job is sent to for a while, and last those that are
 * down. Within a group as configured.
 */
export function inOrder(offers: readonly Offer[]): Offer[] {
  return [...offers].sort((a, b) => rankOf(a) - rankOf(b));
}

function rankOf(offer: Offer): number {
  const { status } = offer.backend.state;
  if (accepts(offer.backend.state)) return isFallback(offer) ? 2 : 0;
  if (status === "stopped") return isFallback(offer) ? 3 : 1;
  if (status === "starting") return 4;
  return usable(status) ? 5 : 6;
}

/** Of those that work alike well, the ones that have the model on the device come first. */
export function residentFirst<Candidate extends { readonly offer: Offer }>(
  candidates: readonly Candidate[],
  isResident: (candidate: Candidate) => boolean,
): Candidate[] {
  const resident = new Set(candidates.filter((it) => rankOf(it.offer) === 0 && isResident(it)));
  return resident.size === 0
    ? [...candidates]
    : [...resident, ...candidates.filter((it) => !resident.has(it))];
}
