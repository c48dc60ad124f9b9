/** What one observation changes, and which observations nobody should believe. */
import { MAX_MIB, MAX_MS, type Observation } from "./cost.ts";
import { type Evidence, noteDuration, noteOutOfMemory, noteReading } from "./evidence.ts";

const MAX_NAME_LENGTH = 1_024;

/** `model`: of the key's model over all sizes; `bucket`: of its size. */
export function note(observation: Observation, model: Evidence, bucket: Evidence): void {
  const { kind } = observation;
  switch (kind) {
    case "resident":
      noteReading(model.memory, observation.mib, 0);
      break;
    case "working":
      // The floor of a run counts the resident part too.
      noteReading(bucket.memory, observation.mib, model.memory.heldMiB);
      break;
    case "load":
      noteDuration(model.time, observation.ms);
      break;
    case "run":
      noteDuration(bucket.time, observation.ms);
      break;
    case "out_of_memory": {
      const { memory } = observation.during === "load" ? model : bucket;
      noteOutOfMemory(memory, observation.claimedMiB, observation.observedPeakMiB);
      break;
    }
    default: {
      const unknown: never = kind;
      throw new Error(`no such kind of observation: ${unknown}`);
    }
  }
}

/** Why it cannot be believed, or undefined. */
export function faultIn(observation: Observation): string | undefined {
  const { backend, model } = observation.key;
  if (Math.max(backend.length, model.length) > MAX_NAME_LENGTH) return "the name is too long";
  if (observation.kind === "out_of_memory") {
    const { claimedMiB, observedPeakMiB: peakMiB = 0 } = observation;
    if (!isWithin(claimedMiB, MAX_MIB)) return `${claimedMiB} MiB claimed`;
    if (!isWithin(peakMiB, MAX_MIB)) return `a peak of ${peakMiB} MiB`;
    return claimedMiB + peakMiB > 0 ? undefined : "nothing was claimed and nothing seen";
  }
  if (observation.kind === "resident" || observation.kind === "working") {
    return isWithin(observation.mib, MAX_MIB) ? undefined : `${observation.mib} MiB`;
  }
  return isWithin(observation.ms, MAX_MS) ? undefined : `${observation.ms} ms`;
}

/** False for NaN too. */
function isWithin(value: number, max: number): boolean {
  return value >= 0 && value <= max;
}
