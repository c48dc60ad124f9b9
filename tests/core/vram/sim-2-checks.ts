/** What holds on every device of a random world, after every event. */
import type { Device, Place, Waiting } from "../../../core/vram/ledger.ts";
import { freeMiB } from "../../../core/vram/ledger.ts";
import type { PolicySettings } from "../../../core/vram/policy/policy.ts";
import type { Running } from "../../../core/vram/scheduler.ts";
import type { Plan } from "./sim-2-plan.ts";

export interface Facts {
  readonly device: Device;
  /** What is really there, whatever the scheduler believes. */
  readonly there: readonly Place[];
  readonly running: readonly Running[];
  readonly heldBeforeMiB: number;
  /** Strangers, lost servers or failed evictions: promises may be broken by them. */
  readonly spoilt: boolean;
  readonly exclusive: boolean;
}

/** MiB that are held now; throws with what does not hold. */
export function checkDevice({ device, there, running, ...facts }: Facts): number {
  const say = (what: string) => {
    throw new Error(`${what}: ${describeDevice(device)}`);
  };
  const models = there.reduce((sum, { residentMiB }) => sum + residentMiB, 0);
  const held = models + running.reduce((sum, { job }) => sum + job.workingMiB, 0);
  if (held !== device.heldMiB) say(`${device.heldMiB} MiB are in the book and ${held} held`);
  const promised = device.places.reduce(
    (sum, { state, residentMiB, keptMiB }) =>
      sum + keptMiB + (state === "reserved" ? residentMiB : 0),
    0,
  );
  if (promised !== device.promisedMiB) say("the sum of promises is wrong");
  if (running.length !== device.running) say("the number of running jobs is wrong");
  const heavy = running.filter(({ job }) => job.heavy).length;
  if (heavy !== device.heavyRunning) say("the number of heavy jobs is wrong");
  if (heavy > device.heavyLimit) say(`${heavy} heavy jobs compute`);
  // Strangers may take what was counted on; then nothing more may be taken here.
  if (held > facts.heldBeforeMiB && held + device.foreignMiB > device.limitMiB) {
    say(`${held} MiB are held and ${device.foreignMiB} are others'`);
  }
  if (!facts.spoilt && freeMiB(device) < 0) say("more is promised than there is");
  const loading = device.places.filter(({ state }) => state === "loading").length;
  if (device.compute === "lane" && running.length + loading > 1)
    say("the lane does several things");
  if (facts.exclusive && there.length > 1) say(`${there.length} models are there`);
  return held;
}

export interface RunFacts {
  readonly job: Waiting;
  readonly startMs: number;
  readonly endMs: number;
}

/**
 * The bound of policy/reservations.ts: from when it is overdue a job waits for one turn of the
 * overdue lane for each job that was overdue before it, and for one of its own. A turn is the pause
 * after the one before, and then at most the loads and runs that were under way or promised.
 */
export function checkBound(
  runs: readonly RunFacts[],
  { models }: Plan,
  { overdueShare }: PolicySettings,
): void {
  const longestRun = Math.max(...runs.map(({ startMs, endMs }) => endMs - startMs));
  const longestLoad = Math.max(...models.map(({ loadMs }) => loadMs)) * LOAD_STRETCH;
  const pause = (Math.max(...models.map(({ runMs }) => runMs)) + longestLoad) / overdueShare;
  const turn = pause + 2 * longestLoad + (models.length + 1) * longestRun;
  for (const { job, startMs } of runs) {
    const before = runs.filter(
      (it) => it.job.urgentAtMs <= job.urgentAtMs && it.startMs > job.urgentAtMs && it.job !== job,
    );
    const lateMs = startMs - job.urgentAtMs;
    if (lateMs <= (before.length + 1) * turn) continue;
    throw new Error(`${job.id} was overdue for ${lateMs} ms with ${before.length} before it`);
  }
}

/** A load takes up to this many times what was expected. */
const LOAD_STRETCH = 1.5;

export function describeDevice(device: Device): string {
  const { name, limitMiB, foreignMiB, heldMiB, promisedMiB, reservation, places } = device;
  const shown = places.map(
    ({ model, state, residentMiB, running, served }) =>
      `${model} ${state} ${residentMiB} runs ${running} served ${served}`,
  );
  const whose = reservation ? `, reserved for ${reservation.job.id}` : "";
  return `${name} ${heldMiB} + ${promisedMiB} + ${foreignMiB} of ${limitMiB} (${shown.join("; ")})${whose}`;
}
