/** What is possible now, whatever a policy would like. */
import { type Device, freeMiB, headOf, type Place, physicalMiB, type Waiting } from "../ledger.ts";

/** Whether the server can take one more job. */
export function hasSlot({ server }: Place): boolean {
  return server.available && server.running < server.slots;
}

/** Whether the device's way of computing allows one more job. */
export function hasLane({ device }: Place, heavy: boolean): boolean {
  if (device.compute === "lane") return device.running === 0 && device.loading === 0;
  return !heavy || device.heavyRunning < device.heavyLimit;
}

/** Whether the job can start in this place now. */
export function canStart(place: Place, job: Waiting): boolean {
  return (
    place.state === "resident" &&
    hasSlot(place) &&
    hasLane(place, job.heavy) &&
    hasMemory(place, job.workingMiB)
  );
}

/** Whether a job's own memory is there; its place may have kept some for it. */
export function hasMemory({ device, keptMiB }: Place, workingMiB: number): boolean {
  if (workingMiB === 0) return true;
  return Math.min(freeMiB(device) + keptMiB, physicalMiB(device)) >= workingMiB;
}

/** Whether a load may begin here, memory aside. */
export function mayLoad({ state, server, device, stuckUntilMs }: Place, nowMs: number): boolean {
  if (state !== "absent" || !server.available || stuckUntilMs > nowMs) return false;
  return device.compute === "shared" || device.running + device.loading === 0;
}

/** Loaded for jobs that still wait, and not used yet: to evict it now would waste the load. */
export function isFresh(place: Place): boolean {
  if (place.served > 0 || place.state !== "resident" || !place.server.available) return false;
  return place.groups.some(({ size }) => size > 0);
}

/**
 * Nothing on the device will end or begin by itself, as when strangers took the memory that fresh
 * models counted on. Then even those may leave, or nothing ever would.
 */
export function isStalled({ running, loading, leavingMiB, places }: Device): boolean {
  if (running > 0 || loading > 0 || leavingMiB > 0) return false;
  return !places.some(
    (place) =>
      isFresh(place) &&
      place.groups.some(({ lines }) =>
        lines.some((line) => hasMemory(place, headOf(line).workingMiB)),
      ),
  );
}

/** Whether it could leave at this moment. */
export function isIdle(place: Place, nowMs: number): boolean {
  if (place.state !== "resident" || place.running > 0) return false;
  if (place.pinned || place.stuckUntilMs > nowMs) return false;
  return place.server.frees === "model" || place.server.running === 0;
}

/** Whether the job could run here with everything gone that can be made to leave. */
export function fitsAlone(place: Place, { workingMiB }: Waiting, nowMs: number): boolean {
  const { device, residentMiB } = place;
  let room = device.limitMiB - device.foreignMiB - residentMiB - workingMiB;
  for (const other of device.places) {
    if (other !== place && (other.pinned || other.stuckUntilMs > nowMs)) room -= other.residentMiB;
  }
  return room >= 0;
}

/** Waiting jobs that could use the place. */
export function pending(place: Place): number {
  let jobs = 0;
  for (const { size } of place.groups) jobs += size;
  return jobs;
}
