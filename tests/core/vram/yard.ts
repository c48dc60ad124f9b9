/**
 * The whole VRAM scheduler over a card that is a number: backends whose models take and give back
 * its memory, a probe that sees it, and a test that steers both.
 */
import { systemClock } from "../../../core/clock.ts";
import { createBus, type EventMap } from "../../../core/events/mod.ts";
import { createIds } from "../../../core/ids.ts";
import { silentLog } from "../../../core/log.ts";
import type { Lease, LeaseRequest } from "../../../core/vram/admission.ts";
import { forgetfulCostStore } from "../../../core/vram/costs/cost-book.ts";
import {
  type BackendPort,
  createCostBook,
  createVram,
  loadPolicy,
  type Policy,
  type Probe,
  type ProcessPort,
  type Vram,
} from "../../../core/vram/mod.ts";

export interface CardOptions {
  readonly totalMiB?: number;
  /** No probe: what we believe is all there is. */
  readonly blind?: boolean;
  readonly headroomMiB?: number;
  readonly heavy?: number;
  readonly memoryMiB?: number;
}

/** Memory by owner. */
export interface Card {
  readonly used: Map<string, number>;
  set(owner: string, mib: number): void;
  vanish(reason: string): void;
  readonly probe: Probe;
}

export interface FakeBackend {
  readonly port: BackendPort;
  readonly calls: string[];
  up: boolean;
  /** What it says of itself. */
  busy: boolean | undefined;
  /** Models that it holds, in MiB. */
  readonly held: Map<string, number>;
  /** Tells the scheduler that its process has ended, as the supervisor does. */
  ended: () => void;
}

export interface BackendOptions {
  readonly name: string;
  readonly device?: string;
  readonly concurrency?: number;
  readonly frees?: "model" | "everything" | "never" | "lies";
  /** Loads when told to, rather than with the first job. */
  readonly loads?: boolean | ((model: string) => Promise<void>);
  readonly tells?: boolean;
  readonly process?: boolean;
}

export function createCard({ totalMiB = 24_576, blind = false }: CardOptions = {}): Card {
  const used = new Map<string, number>();
  const listeners = new Set<() => void>();
  let missing: string | undefined;
  const reading = () => ({
    totalMiB,
    usedMiB: [...used.values()].reduce((sum, mib) => sum + mib, 0),
    processes: [...used].map(([name, usedMiB]) => ({ pid: pidOf(name), usedMiB, name })),
    atMs: systemClock.monotonicMs(),
  });
  const tell = () => {
    for (const listener of listeners) listener();
  };
  return {
    used,
    set(owner, mib) {
      if (mib > 0) used.set(owner, mib);
      else used.delete(owner);
      tell();
    },
    vanish(reason) {
      missing = reason;
      tell();
    },
    probe: {
      kind: blind ? "declared" : "simulated",
      state() {
        if (blind) return { kind: "missing", reason: "no probe" };
        if (missing) return { kind: "missing", reason: missing };
        return { kind: "reading", reading: reading() };
      },
      fresh: async () => reading(),
      onChange(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: async () => {},
    },
  };
}

/** Every owner is a process of its own. */
export function pidOf(owner: string): number {
  return 10_000 + [...owner].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 20_000, 7);
}

export interface Yard {
  readonly vram: Vram;
  readonly card: Card;
  readonly events: { type: keyof EventMap; event: any }[];
  backend(name: string): FakeBackend;
  /** Asks for a lease; it is granted when `lease` is there. */
  ask(job: AskedJob): Asked;
  close(): Promise<void>;
}

export interface AskedJob extends Partial<Omit<LeaseRequest, "choices">> {
  readonly on: string | readonly string[];
  readonly model?: string;
  readonly residentMiB?: number;
  readonly workingMiB?: number;
  readonly runMs?: number;
}

export interface Asked {
  readonly id: string;
  lease: Lease | undefined;
  error: unknown;
  readonly settled: Promise<void>;
  /** Withdraws it. */
  readonly abort: () => void;
  /** Ends its work. */
  end(how?: Parameters<Lease["release"]>[0]): void;
}

let jobs = 0;

export async function openYard(
  backends: readonly BackendOptions[],
  options: CardOptions & { readonly policy?: string | Policy; readonly started?: boolean } = {},
): Promise<Yard> {
  const { policy = "fair" } = options;
  const card = createCard(options);
  const fakes = new Map(backends.map((it) => [it.name, createBackend(it, card)]));
  const bus = createBus(silentLog);
  const events: Yard["events"] = [];
  for (const type of [
    "vram.loading",
    "vram.loaded",
    "vram.load_failed",
    "vram.reclaimed",
  ] as const) {
    bus.on(type, (event) => events.push({ type, event }));
  }
  const vram = createVram({
    policy: typeof policy === "string" ? await loadPolicy(policy) : policy,
    settings: {
      heavyMs: 10_000,
      overdueAfterMs: 60_000,
      overdueRuns: 2,
      overdueShare: 0.25,
      fairnessMs: 120_000,
    },
    devices: {
      gpu0: {
        memoryMiB: options.memoryMiB,
        headroomMiB: options.headroomMiB ?? 0,
        heavy: options.heavy ?? 1,
      },
    },
    backends: [...fakes.values()].map(({ port }) => port),
    probes: new Map([["gpu0", card.probe]]),
    costs: createCostBook({
      store: forgetfulCostStore,
      overrides: () => undefined,
      defaults: { loadMs: () => 1_000, runMs: 1_000 },
      clock: systemClock,
      log: silentLog,
    }),
    clock: systemClock,
    ids: createIds(systemClock.nowMs),
    log: silentLog,
    bus,
  });
  for (const [name, fake] of fakes) {
    fake.ended = () => {
      vram.processEnded(name);
      vram.backendChanged();
    };
  }
  if (options.started !== false) await vram.start();

  return {
    vram,
    card,
    events,
    backend: (name) => fakes.get(name) as FakeBackend,
    ask({ on, model = "m", residentMiB = 8_000, workingMiB = 0, runMs, ...request }) {
      const abort = new AbortController();
      const demand = { model, residentMiB, workingMiB, runMs };
      const id = request.jobId ?? `job-${jobs++}`;
      const names = typeof on === "string" ? [on] : on;
      const asked: Asked = {
        id,
        lease: undefined,
        error: undefined,
        abort: () => abort.abort(new Error("withdrawn")),
        end: (how) => asked.lease?.release(how),
        settled: vram.admission
          .acquire(
            {
              keyId: "key",
              priority: 5,
              resume: false,
              ...request,
              jobId: id,
              choices: names.map((backend) => ({
                backend,
                ...(residentMiB + workingMiB > 0 ? { demand } : {}),
              })),
            },
            abort.signal,
          )
          .then(
            (lease) => {
              asked.lease = lease;
              fakes.get(lease.backend)?.held.has(model) ||
                (fakes.get(lease.backend)?.port.load === undefined &&
                  take(card, fakes.get(lease.backend), model, residentMiB));
            },
            (error) => {
              asked.error = error;
            },
          ),
      };
      return asked;
    },
    close: () => vram.close(),
  };
}

function take(card: Card, backend: FakeBackend | undefined, model: string, mib: number): void {
  if (!backend) return;
  backend.held.set(model, mib);
  settle(card, backend);
}

function settle(card: Card, { port, held }: FakeBackend): void {
  card.set(
    port.name,
    [...held.values()].reduce((sum, mib) => sum + mib, 0),
  );
}

function createBackend(options: BackendOptions, card: Card): FakeBackend {
  const { name, frees = "model", loads = false, tells = true } = options;
  const calls: string[] = [];
  const held = new Map<string, number>();
  const fake: FakeBackend = {
    calls,
    held,
    up: true,
    busy: undefined,
    port: {} as BackendPort,
    ended() {},
  };
  let running = options.process !== true;
  const process: ProcessPort = {
    running: () => running,
    async start() {
      calls.push("start");
      running = true;
    },
    async stop() {
      calls.push("stop");
      running = false;
      held.clear();
      settle(card, fake);
      fake.ended();
    },
    async restart() {
      calls.push("restart");
      held.clear();
      settle(card, fake);
      fake.ended();
    },
    busy() {},
    describe: () => ({ state: running ? "ready" : "stopped" }),
  };
  const port: BackendPort = {
    name,
    title: name.toUpperCase(),
    device: options.device ?? "gpu0",
    concurrency: options.concurrency ?? 1,
    usable: () => fake.up,
    busy: () => fake.busy,
    frees: frees === "everything" ? "everything" : "model",
    pids: async () => [pidOf(name)],
    process: options.process ? process : undefined,
    residents: tells
      ? async () => [...held].map(([model, residentMiB]) => ({ model, residentMiB }))
      : undefined,
    load: loads
      ? async (model) => {
          calls.push(`load ${model}`);
          if (typeof loads === "function") await loads(model);
          held.set(model, 8_000);
          settle(card, fake);
        }
      : undefined,
    free:
      frees === "never"
        ? undefined
        : async (model) => {
            calls.push(`free ${model}`);
            if (frees === "lies") return;
            if (frees === "everything") held.clear();
            else held.delete(model);
            settle(card, fake);
          },
  };
  return Object.assign(fake, { port });
}
