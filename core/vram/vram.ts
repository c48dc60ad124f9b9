/**
 * The VRAM scheduler put together: the ledger and its loop, the port through which jobs get leases,
 * the effects, the inspection, external leases, and what operators can ask and order.
 */
import type { Clock } from "../clock.ts";
import type { Bus } from "../events/mod.ts";
import type { Ids } from "../ids.ts";
import { type Log, messageOf } from "../log.ts";
import { type Admission, createAdmission } from "./admission.ts";
import { beliefsOf } from "./beliefs.ts";
import type { CostBook } from "./costs/cost-book.ts";
import { createModelEffects, type ModelEffects } from "./effects.ts";
import { type FreeOrder, type FreeReport, freeModels } from "./free.ts";
import { createInspector, type DeviceSettings, type Inspector, limitOf } from "./inspector.ts";
import { createLearning } from "./learning.ts";
import { createLeases, type Leases } from "./leases.ts";
import type { Device, Place } from "./ledger.ts";
import { createOrphans, type Orphans } from "./orphans.ts";
import { createOwners } from "./owners.ts";
import { fair } from "./policy/fair.ts";
import { guarded } from "./policy/guarded.ts";
import { POLICIES } from "./policy/load.ts";
import type { Policy } from "./policy/policy.ts";
import type { BackendPort } from "./ports.ts";
import type { Probe } from "./probes/mod.ts";
import { createRecent, type Recent } from "./recent.ts";
import { createReclaimer, type Reclaimer } from "./reclaim/reclaim.ts";
import { refusalOf } from "./refusal.ts";
import { createRoster, type Roster } from "./roster.ts";
import { createScheduler, type Scheduler, type SchedulerSettings } from "./scheduler.ts";
import { leftBesideMiB, ownUsedMiB } from "./truth.ts";

export interface VramOptions {
  readonly policy: Policy;
  readonly settings: SchedulerSettings;
  readonly devices: Readonly<Record<string, DeviceSettings & { readonly heavy: number }>>;
  readonly backends: readonly BackendPort[];
  readonly probes: ReadonlyMap<string, Probe>;
  readonly costs: CostBook;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly bus: Bus;
}

export interface Vram {
  readonly admission: Admission;
  readonly leases: Leases;
  readonly scheduler: Scheduler;
  readonly roster: Roster;
  readonly inspector: Inspector;
  readonly effects: ModelEffects;
  readonly orphans: Orphans;
  readonly recent: Recent;
  readonly reclaimer: Reclaimer;
  readonly policy: Policy;
  readonly settings: SchedulerSettings;
  readonly costs: CostBook;
  readonly probes: ReadonlyMap<string, Probe>;
  readonly devices: ReadonlyMap<string, Device>;
  /** The clock of the ledger: monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Settles after the first look at the devices: from then on leases are granted. */
  start(): Promise<void>;
  /** A backend came, went, or was started or stopped. */
  backendChanged(): void;
  /** Its process has ended: what it held is gone. */
  processEnded(backend: string): void;
  /** A process that works on its jobs came or went, beside the server's own. */
  jobProcessesChanged(backend: string): void;
  free(order: FreeOrder): Promise<FreeReport>;
  /** The backend whose process this is, as far as anybody can tell. */
  ownerOf(pid: number): string | undefined;
  close(): Promise<void>;
}

export function createVram(options: VramOptions): Vram {
  const { backends, probes, clock, log, settings } = options;
  const nowMs = clock.monotonicMs;
  /** Whether each backend's process was last said to be busy. */
  const told = new Map<string, boolean>();
  /** Backends that the first look came to. */
  const looked = new Set<string>();
  /** Those that were asked what they hold since they came up: before that nothing is granted there. */
  const asked = new Set<string>();
  /** Those that are being asked. */
  const looking = new Set<string>();

  const admission = createAdmission({
    scheduler: () => scheduler,
    roster: () => roster,
    nowMs,
    isCold: (place) => place.served <= 1 && !roster.port(place.server.name)?.load,
    wake: (server) => effects.wake(server),
    ended(job, end) {
      try {
        learning.ran(job, end);
      } catch (error) {
        // What could not be learned must not keep the memory.
        log.error("nothing was learned from a job", { error: messageOf(error) });
      }
      // Its model came with it, perhaps in a process of its own.
      if (job.cold) owners.changed(job.backend);
    },
  });
  const reclaimer = createReclaimer({ usage, clock, log });
  const effects = createModelEffects({
    scheduler: () => scheduler,
    roster: () => roster,
    admission,
    reclaimer,
    clock,
    log,
    bus: options.bus,
    changed,
    reopened: backendChanged,
    learnLoad: (place, ms) => learning.loaded(place, ms),
  });
  const policy = Object.values(POLICIES).includes(options.policy)
    ? options.policy
    : guarded({
        own: options.policy,
        instead: fair,
        refusalOf,
        complain: (reason) =>
          log.error("the policy asked for what cannot be; `fair` decided instead", {
            policy: options.policy.name,
            reason,
          }),
      });
  const scheduler = createScheduler({
    policy,
    settings,
    nowMs,
    effects: {
      ...effects,
      start(job, place) {
        tellBusy(place.server.name, true);
        const isWanted = leases.started(job, place) || admission.started(job, place);
        // It was given up where that could not be told; its place is free again.
        if (!isWanted) scheduler.ended({ job, place });
      },
    },
  });
  const devices = new Map<string, Device>();
  for (const [name, { heavy, ...own }] of Object.entries(options.devices)) {
    const state = probes.get(name)?.state();
    const limitMiB = limitOf(own, state?.kind === "reading" ? state.reading : undefined);
    if (limitMiB === Infinity) {
      log.warn("a device's memory is unknown: one job at a time computes there", {
        device: name,
        hint: "set devices.<name>.memory_mib",
      });
    }
    // Of what nobody can measure nothing may be shared.
    const compute = limitMiB === Infinity ? "lane" : "shared";
    devices.set(name, scheduler.addDevice({ name, limitMiB, compute, heavyLimit: heavy }));
  }
  const roster = createRoster({ scheduler, devices, backends, costs: options.costs });
  const recent = createRecent(options.bus, clock.nowMs);
  const owners = createOwners({
    backends,
    nowMs,
    isMeasured(backend) {
      const state = probes.get(roster.port(backend)?.device ?? "")?.state();
      return state?.kind === "reading" && state.reading.processes !== undefined;
    },
    refreshed: () => {
      for (const device of devices.values()) inspector.compare(device);
    },
  });
  const learning = createLearning({ costs: options.costs, admission, roster, nowMs });
  const inspector = createInspector({
    scheduler,
    roster,
    backends,
    probes,
    settings: options.devices,
    beliefs: (device) => beliefsOf(device, { admission, leases, roster, owners }),
    learned: (fact) => {
      if (!isTakenUp(fact.backend)) learning.saw(fact);
    },
    owners,
    found: (place) => admission.found(place),
    resumed: admission.resumedModel,
    clock,
    log,
  });
  const orphans = createOrphans({ roster, nowMs, reconsider: admission.reconsider });
  const leases = createLeases({
    scheduler: () => scheduler,
    devices,
    clock,
    ids: options.ids,
    heavyMs: settings.heavyMs,
  });

  async function usage(port: BackendPort, device: string, signal: AbortSignal) {
    const probe = probes.get(device);
    if (!probe || probe.kind === "declared") return undefined;
    const reading = await probe.fresh(signal);
    // Asked anew: after a restart its processes are others.
    const own = [...(await port.pids()), ...owners.pids(port.name)];
    const others = backends.flatMap(({ name }) => (name === port.name ? [] : owners.pids(name)));
    return {
      deviceMiB: reading.usedMiB,
      ownMiB: ownUsedMiB(reading, own),
      atMostMiB: leftBesideMiB(reading, others),
    };
  }

  /** What it holds was found with a job of before, and so is no size of a model. */
  function isTakenUp(backend: string): boolean {
    if (!roster.port(backend)?.jobsHold?.()) return false;
    return placesHeld(backend).length > 0;
  }

  function placesHeld(backend: string): Place[] {
    const places = roster.servers.get(backend)?.places ?? [];
    return places.filter(({ state, residentMiB }) => state === "resident" && residentMiB > 0);
  }

  function changed({ server, device }: Place): void {
    owners.changed(server.name);
    inspector.compare(device);
  }

  /** A process that nothing runs on or waits for may be stopped when that lasts. */
  function tellProcesses(): void {
    const wanted = new Set(
      scheduler.view.groups.flatMap(({ places }) => places.map(({ server }) => server.name)),
    );
    for (const [name, { running }] of roster.servers)
      tellBusy(name, running > 0 || wanted.has(name));
  }

  /** Only when it changes: each word of idleness starts the process's idle time. */
  function tellBusy(backend: string, busy: boolean): void {
    if (told.get(backend) === busy) return;
    told.set(backend, busy);
    roster.port(backend)?.process?.busy(busy);
  }

  /** Where nothing is measured, whatever the others hold must be known too. */
  function isKnown({ name, device }: BackendPort): boolean {
    if (!asked.has(name)) return false;
    if (inspector.truth(device)) return true;
    return backends.every((other) => other.device !== device || looked.has(other.name));
  }

  function backendChanged(): void {
    for (const [name, server] of roster.servers) {
      const port = roster.port(name);
      if (!port) continue;
      if (!port.usable()) asked.delete(name);
      else if (looked.has(name) && !asked.has(name)) void look(port);
      server.available = isKnown(port) && port.usable() && !effects.isClosed(name);
    }
    admission.reconsider();
  }

  /** It may hold models, and compute, since before it could be asked. */
  async function look(port: BackendPort): Promise<void> {
    if (looking.has(port.name)) return;
    looking.add(port.name);
    // It may be another process than before, too.
    await Promise.all([owners.refresh(port.name), inspector.ask(port)]).finally(() =>
      looking.delete(port.name),
    );
    const device = devices.get(port.device);
    if (device) inspector.compare(device);
    noteLook(port);
  }

  function noteLook(port: BackendPort): void {
    looked.add(port.name);
    if (port.usable()) {
      asked.add(port.name);
      orphans.look(port, admission.resumes(port.name));
    }
    backendChanged();
  }

  const tick = setInterval(() => {
    // Time alone makes jobs overdue and ends pauses.
    if (scheduler.view.groups.length > 0) scheduler.reconsider();
    tellProcesses();
  }, TICK_MS);
  tick.unref();
  backendChanged();

  return {
    admission,
    leases,
    scheduler,
    roster,
    inspector,
    effects,
    orphans,
    recent,
    reclaimer,
    policy,
    settings,
    costs: options.costs,
    probes,
    devices,
    nowMs,
    backendChanged,
    async start() {
      await inspector.start(noteLook);
    },
    processEnded(backend) {
      owners.changed(backend);
      for (const place of roster.servers.get(backend)?.places ?? []) {
        if (place.state !== "resident") continue;
        // What did not leave has left with it, and may come back at once.
        place.stuckUntilMs = -Infinity;
        scheduler.absent(place);
      }
    },
    jobProcessesChanged(backend) {
      owners.changed(backend);
      const port = roster.port(backend);
      if (!port?.jobsHold || port.jobsHold() || port.process || port.residents) return;
      // Found when the gateway started, and gone with the job's process: nothing else frees it.
      for (const place of placesHeld(backend)) scheduler.absent(place);
    },
    ownerOf: owners.ownerOf,
    free: (order) => freeModels(order, { devices, scheduler, effects, roster, reclaimer, nowMs }),
    async close() {
      clearInterval(tick);
      inspector.close();
      orphans.close();
      owners.close();
      recent.close();
      leases.close();
      await effects.close();
      await options.costs.close();
      await Promise.all([...probes.values()].map((probe) => probe.close()));
    },
  };
}

const TICK_MS = 250;
