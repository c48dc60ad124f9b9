/**
 * Keeps the ledger true: what the probes measure, what backends say they hold, who can work. The
 * probe wins over what we believe. Before the first look nothing is granted.
 */
import type { Clock } from "../clock.ts";
import { type Log, messageOf } from "../log.ts";
import type { Resident } from "../sdk/plugin.ts";
import type { Device, Place } from "./ledger.ts";
import type { Owners } from "./owners.ts";
import type { BackendPort } from "./ports.ts";
import { type DeviceReading, NOT_YET, type Probe } from "./probes/mod.ts";
import { within } from "./reclaim/limits.ts";
import type { Roster } from "./roster.ts";
import type { Scheduler } from "./scheduler.ts";
import { type Belief, type Fact, learn, reconcile, type Truth } from "./truth.ts";

/** What the operator says about a device. */
export interface DeviceSettings {
  /** MiB that may be used of it; all of it unless said. */
  readonly memoryMiB?: number;
  readonly headroomMiB: number;
}

export interface Inspector {
  /** The first look, at the devices and then at every backend; `looked` is told of each. */
  start(looked: (backend: BackendPort) => void): Promise<void>;
  /** Asks a backend what it holds; settles in any case. */
  ask(backend: BackendPort): Promise<void>;
  /** The newest comparison; undefined where nothing is measured. */
  truth(device: string): Truth | undefined;
  /** Holds the newest reading against what is believed now. */
  compare(device: Device): void;
  /** Asks the backends now what they hold. */
  refresh(): Promise<void>;
  close(): void;
}

export interface InspectorOptions {
  readonly scheduler: Scheduler;
  readonly roster: Roster;
  readonly backends: readonly BackendPort[];
  readonly probes: ReadonlyMap<string, Probe>;
  readonly settings: Readonly<Record<string, DeviceSettings>>;
  /** Everything that we believe to be on the device. */
  readonly beliefs: (device: Device) => Belief[];
  readonly learned: (fact: Fact) => void;
  readonly owners: Owners;
  /** A model was found that is larger than was expected, perhaps. */
  readonly found: (place: Place) => void;
  /** The model with which a job goes on that the backend computes since before we came. */
  readonly resumed: (backend: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A model that a backend holds since before we came, and whose name it does not tell. */
export const UNKNOWN_MODEL = "(unknown)";
const RESIDENTS_EVERY_MS = 10_000;
const WONDER_EVERY_MS = 2_000;
const RESIDENTS_LIMIT_MS = 5_000;
/** Longest wait for a probe's first answer; as long as the probe itself gives its tool. */
const FIRST_READING_MS = 30_000;
/** A model that was there this short a while ago is not missed yet: the server may be behind. */
const SETTLE_MS = 5_000;
/** Less than this is a server without a model: its context, its buffers. */
const UNKNOWN_FROM_MIB = 512;

export function createInspector(options: InspectorOptions): Inspector {
  const { scheduler, roster, backends, probes, settings, owners, clock, log } = options;
  const truths = new Map<string, Truth>();
  /** When each backend was last asked. */
  const asked = new Map<string, number>();
  const leaveProbes: (() => void)[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const closing = new AbortController();

  function compare(device: Device): void {
    const state = probes.get(device.name)?.state();
    // The ledger goes on with what it knows; a driver that cannot be asked may still compute.
    if (state?.kind !== "reading") return;
    const { reading } = state;
    const beliefs = options.beliefs(device);
    const truth = reconcile(reading, beliefs);
    truths.set(device.name, truth);
    for (const belief of beliefs) wonder(belief, truth.measured.get(belief.backend));
    for (const fact of learn(reading, beliefs)) options.learned(fact);
    const limitMiB = limitOf(settings[device.name], reading);
    // The part that the operator keeps from us has room for others.
    const sparedMiB = reading.totalMiB - (settings[device.name]?.memoryMiB ?? reading.totalMiB);
    const foreignMiB = Math.max(0, truth.foreignMiB - Math.max(0, sparedMiB));
    if (limitMiB === device.limitMiB && foreignMiB === device.foreignMiB) return;
    // Its size was unknown until now: from here on it can be shared.
    if (device.limitMiB === Infinity && limitMiB !== Infinity) device.compute = "shared";
    device.limitMiB = limitMiB;
    device.foreignMiB = foreignMiB;
    scheduler.reconsider();
  }

  /** It holds more than we know of: it is asked, rather than at the next turn. */
  function wonder(belief: Belief, measuredMiB = 0): void {
    const port = roster.port(belief.backend);
    const isKnown = measuredMiB <= belief.residentMiB + belief.workingMiB + UNKNOWN_FROM_MIB;
    const askedAtMs = asked.get(belief.backend) ?? -Infinity;
    if (!port || isKnown || clock.monotonicMs() - askedAtMs < WONDER_EVERY_MS) return;
    void ask(port);
  }

  async function refresh(): Promise<void> {
    await Promise.all([owners.refresh(), ...backends.map(ask)]);
    for (const device of roster.devices.values()) compare(device);
  }

  async function ask(port: BackendPort): Promise<void> {
    const { name, residents, usable } = port;
    if (!residents || !usable()) return;
    const askedAtMs = clock.monotonicMs();
    asked.set(name, askedAtMs);
    let held: readonly Resident[];
    try {
      held = listOf(await within(RESIDENTS_LIMIT_MS, closing.signal, residents));
    } catch (error) {
      log.debug("a backend does not say what it holds", {
        backend: name,
        error: messageOf(error),
      });
      return;
    }
    // What came or went meanwhile may be on the list, or not: it is asked again.
    if (owners.changedAtMs(name) >= askedAtMs) return;
    // Found and counted as foreign no more, at once.
    scheduler.together(() => {
      correct(name, held, askedAtMs);
      const device = roster.devices.get(port.device);
      if (device) compare(device);
    });
  }

  function correct(name: string, held: readonly Resident[], askedAtMs: number): void {
    for (const { model, residentMiB } of held) {
      const mib = Math.ceil(residentMiB);
      // Fractions would add up to crumbs that keep others out.
      if (!(mib > 0) || !Number.isFinite(mib)) continue;
      const place = roster.place(name, model, mib);
      if (place?.state !== "absent") continue;
      place.residentMiB = mib;
      scheduler.found(place);
      options.found(place);
    }
    const names = new Set(held.map(({ model }) => model));
    for (const place of roster.servers.get(name)?.places ?? []) {
      if (names.has(place.model) || !isMissed(place, askedAtMs)) continue;
      log.info("a model has left by itself", { backend: name, model: place.model });
      scheduler.absent(place);
    }
  }

  /** Idle, there since before the question, and not named in the answer. */
  function isMissed(place: Place, askedAtMs: number): boolean {
    if (place.state !== "resident" || place.running > 0 || place.served === 0) return false;
    return place.lastUsedMs < askedAtMs - SETTLE_MS;
  }

  /** What a backend holds that cannot tell; from a gateway that was there before, for example. */
  function findUnknown(device: Device): void {
    for (const [backend, measuredMiB] of truths.get(device.name)?.measured ?? []) {
      const server = roster.servers.get(backend);
      const known = server?.places.some(({ state }) => state !== "absent");
      const port = roster.port(backend);
      if (!server || known || port?.residents || measuredMiB < UNKNOWN_FROM_MIB) continue;
      // Its work is gone on with: what it holds is the model for that.
      const model = options.resumed(backend) ?? UNKNOWN_MODEL;
      const place = roster.place(backend, model, measuredMiB);
      if (!place) continue;
      scheduler.found(place);
      options.found(place);
    }
  }

  /** A cold driver takes its time: what is on the device must be known before it is given away. */
  async function firstReading(probe: Probe): Promise<void> {
    const state = probe.state();
    if (state.kind !== "missing" || state.reason !== NOT_YET) return;
    const reading = within(FIRST_READING_MS, closing.signal, probe.fresh);
    // The probe has said why it has none.
    await reading.catch(() => undefined);
  }

  function schedule(): void {
    if (closing.signal.aborted) return;
    timer = setTimeout(() => {
      refresh()
        .catch((error) => log.warn("the ledger was not compared", { error: messageOf(error) }))
        .finally(schedule);
    }, RESIDENTS_EVERY_MS);
    timer.unref();
  }

  return {
    compare,
    ask,
    refresh,
    truth: (device) => truths.get(device),
    async start(looked) {
      await Promise.all([...probes.values()].map(firstReading));
      // Processes are only looked for where they are measured.
      await owners.refresh();
      for (const device of roster.devices.values()) {
        compare(device);
        findUnknown(device);
        // What was found is not foreign.
        compare(device);
        const probe = probes.get(device.name);
        if (probe) leaveProbes.push(probe.onChange(() => compare(device)));
      }
      await Promise.all(backends.map((port) => ask(port).then(() => looked(port))));
      schedule();
    },
    close() {
      closing.abort(new Error("the gateway is stopping"));
      clearTimeout(timer);
      for (const leave of leaveProbes) leave();
    },
  };
}

/** What of a plugin's answer is a model; throws when it is no list at all. */
function listOf(answer: unknown): Resident[] {
  if (!Array.isArray(answer)) throw new TypeError("its plugin gives no list of models");
  return answer.filter((it) => typeof it?.model === "string");
}

/** MiB that may be used in all. */
export function limitOf(
  settings: DeviceSettings | undefined,
  reading: DeviceReading | undefined,
): number {
  const totalMiB = Math.min(settings?.memoryMiB ?? Infinity, reading?.totalMiB ?? Infinity);
  return Math.max(0, totalMiB - (settings?.headroomMiB ?? 0));
}
