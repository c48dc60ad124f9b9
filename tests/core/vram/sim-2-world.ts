/**
 * A random world around the scheduler: devices of odd sizes, servers that do what they are told late,
 * badly or not at all, strangers who take memory, and a scheduler that is thrown away in the middle.
 * Everything is drawn from one seed; what must hold is checked at every event.
 */

import {
  type Device,
  freeMiB,
  type Group,
  type Place,
  type Server,
  type Waiting,
} from "../../../core/vram/ledger.ts";
import { exclusive } from "../../../core/vram/policy/exclusive.ts";
import { fair } from "../../../core/vram/policy/fair.ts";
import { fifo } from "../../../core/vram/policy/fifo.ts";
import { createScheduler, type Running, type Scheduler } from "../../../core/vram/scheduler.ts";

export interface WorldShape {
  readonly seed: number;
  readonly policy: "fair" | "fifo" | "exclusive";
  readonly compute: "shared" | "lane";
  readonly devices: number;
  readonly services: number;
  readonly jobs: number;
  /** Evictions and loads take time and fail, memory comes and goes, the scheduler crashes. */
  readonly trouble: boolean;
}

export interface Told {
  readonly ended: number;
  readonly withdrawn: number;
  readonly loads: number;
  readonly crashes: number;
}

const POLICIES = { fair, fifo, exclusive };
const SETTINGS = {
  overdueAfterMs: 5_000,
  overdueRuns: 2,
  heavyMs: 2_000,
  overdueShare: 0.25,
  fairnessMs: 4_000,
};
/** Nothing takes that long: whoever still waits then would wait for ever. */
const END_MS = 3_000_000;
const EVENT_LIMIT = 60_000;

interface Model {
  readonly name: string;
  readonly mib: number;
  readonly workingMiB: number;
  readonly loadMs: number;
  readonly runMs: number;
  readonly server: number;
}

interface ServerPlan {
  readonly name: string;
  readonly slots: number;
  readonly frees: "model" | "everything";
}

interface Job {
  readonly id: string;
  readonly model: number;
  readonly key: string;
  readonly priority: number;
  readonly runMs: number;
  waiting?: Waiting;
  state: "waiting" | "running" | "ended" | "withdrawn";
}

/** Runs the world to its end; throws with what did not hold. */
export function runWorld(shape: WorldShape): Told {
  return new World(shape).run();
}

type Event = { readonly atMs: number; readonly order: number; readonly happen: () => void };

/** One run: state with a lifecycle. */
class World {
  private readonly random: () => number;
  private readonly events: Event[] = [];
  private order = 0;
  private nowMs = 0;
  private generation = 0;
  private readonly sizes: number[];
  private readonly servers: ServerPlan[];
  private readonly models: Model[];
  private readonly jobs: Job[] = [];
  /** What is really on the devices, whatever the scheduler believes: "model device" -> MiB. */
  private readonly reality = new Map<
    string,
    { place: Place; served: boolean; withdrawn: boolean }
  >();
  private scheduler!: Scheduler;
  private devices: Device[] = [];
  private realServers: Server[] = [];
  private groups: Group[] = [];
  private places: Place[][] = [];
  private running = new Map<string, Running>();
  private readonly told = { ended: 0, withdrawn: 0, loads: 0, crashes: 0 };
  private troubled: boolean;

  constructor(private readonly shape: WorldShape) {
    this.random = mulberry(shape.seed);
    const { devices, services } = shape;
    this.troubled = shape.trouble;
    this.sizes = times(devices, () => 4_000 + this.below(24_000));
    this.servers = times(services, (index) => ({
      name: `s${index}`,
      slots: 1 + this.below(3),
      frees: shape.trouble && this.below(5) === 0 ? "everything" : "model",
    }));
    const largest = Math.max(...this.sizes);
    this.models = times(services + this.below(4), (index) => {
      const mib = Math.floor(largest * (0.05 + 0.85 * this.random()));
      return {
        name: `m${index}`,
        mib,
        workingMiB: this.below(3) === 0 ? this.below(largest - mib) : 0,
        loadMs: 50 + this.below(1_500),
        runMs: this.below(3) === 0 ? 2_500 + this.below(6_000) : 20 + this.below(1_500),
        server: index < services ? index : this.below(services),
      };
    });
  }

  run(): Told {
    this.begin();
    let atMs = 0;
    for (let index = 0; index < this.shape.jobs; index++) {
      if (this.below(4) > 0) atMs += this.below(1_200);
      this.at(atMs, () => this.arrive(index));
    }
    if (this.troubled) this.plan(atMs);
    let count = 0;
    for (;;) {
      const event = this.next();
      if (!event) break;
      if (++count > EVENT_LIMIT) throw new Error("the world does not come to an end");
      this.nowMs = event.atMs;
      event.happen();
      this.check();
    }
    const open = this.jobs.filter(({ state }) => state === "waiting" || state === "running");
    if (open.length > 0) throw new Error(`${open.length} jobs never ended: ${this.describe(open)}`);
    return this.told;
  }

  /** A scheduler without a past, as after a start of the gateway. */
  private begin(): void {
    const generation = ++this.generation;
    const mine = () => generation === this.generation;
    this.running = new Map();
    this.scheduler = createScheduler({
      policy: POLICIES[this.shape.policy],
      settings: SETTINGS,
      nowMs: () => this.nowMs,
      effects: {
        start: (waiting, place) => this.start(waiting, place, mine),
        load: (place) => this.load(place, mine),
        evict: (places) => this.evict(places, mine),
      },
    });
    this.devices = this.sizes.map((limitMiB, index) =>
      this.scheduler.addDevice({
        name: `gpu${index}`,
        limitMiB,
        compute: this.shape.compute,
        heavyLimit: 1,
      }),
    );
    this.realServers = this.servers.map((server) => this.scheduler.addServer(server));
    this.places = this.models.map(({ name, mib, loadMs, server }) =>
      this.devices
        // A server that frees everything is one process, on one device.
        .filter((device) => this.isHome(device, server, mib))
        .map((device) =>
          this.scheduler.addPlace({
            server: this.realServers[server]!,
            device,
            model: name,
            residentMiB: mib,
            loadMs,
          }),
        ),
    );
    this.groups = this.models.map(({ name }, index) =>
      this.scheduler.addGroup(name, this.places[index]!),
    );
  }

  private isHome(device: Device, server: number, mib: number): boolean {
    if (mib > device.limitMiB) return false;
    if (this.servers[server]!.frees === "model") return true;
    return device.limitMiB === Math.max(...this.sizes);
  }

  private arrive(index: number): void {
    const modelIndex = Math.min(this.below(this.models.length), this.below(this.models.length));
    const model = this.models[modelIndex]!;
    const job: Job = {
      id: `j${index}`,
      model: modelIndex,
      key: `k${this.below(3)}`,
      priority: this.below(4) === 0 ? this.below(10) : 5,
      // The estimate is off by up to four times, both ways.
      runMs: Math.max(1, Math.floor(model.runMs * 4 ** (2 * this.random() - 1))),
      state: "waiting",
    };
    this.jobs.push(job);
    this.submit(job);
    if (this.troubled && this.below(12) === 0) {
      this.at(this.nowMs + this.below(20_000), () => this.withdraw(job));
    }
  }

  private submit(job: Job): void {
    const { runMs, workingMiB } = this.models[job.model]!;
    const group = this.groups[job.model]!;
    const room = Math.max(
      ...group.places.map(({ device, residentMiB }) => device.limitMiB - residentMiB),
    );
    const startByMs = this.below(20) === 0 ? this.nowMs + this.below(8_000) : undefined;
    // `start` may come before this returns.
    job.waiting = this.scheduler.arrive({
      id: job.id,
      group,
      key: job.key,
      keyWeight: 1,
      priority: job.priority,
      runMs,
      workingMiB: Math.min(workingMiB, room),
      startByMs,
    });
  }

  private withdraw(job: Job): void {
    if (job.state !== "waiting" || !job.waiting) return;
    job.state = "withdrawn";
    this.told.withdrawn++;
    for (const place of job.waiting.group.places) {
      const real = this.reality.get(keyOf(place));
      if (real) real.withdrawn = true;
    }
    this.withdrawals.add(job.model);
    this.scheduler.withdraw(job.waiting);
  }

  /** Models of which a job was withdrawn: their loads may turn out to be in vain. */
  private readonly withdrawals = new Set<number>();

  private start(waiting: Waiting, place: Place, mine: () => boolean): void {
    const job = this.jobs[Number(waiting.id.slice(1))]!;
    const real = this.reality.get(keyOf(place));
    if (!real) throw new Error(`${job.id} starts in ${keyOf(place)}, which is not there`);
    if (job.state !== "waiting") throw new Error(`${job.id} starts and is ${job.state}`);
    real.served = true;
    job.state = "running";
    const running = { job: waiting, place };
    this.running.set(job.id, running);
    this.at(this.nowMs + job.runMs, () => {
      if (!mine() || job.state !== "running") return;
      job.state = "ended";
      this.told.ended++;
      this.running.delete(job.id);
      this.scheduler.ended(running);
    });
  }

  private load(place: Place, mine: () => boolean): void {
    this.told.loads++;
    const key = keyOf(place);
    if (this.reality.has(key)) throw new Error(`${key} is loaded and is there already`);
    this.reality.set(key, { place, served: false, withdrawn: false });
    const takesMs = Math.max(1, Math.floor(place.loadMs * (0.5 + this.random())));
    const fails = this.troubled && this.below(15) === 0;
    this.at(this.nowMs + takesMs, () => {
      if (!mine() || place.state !== "loading") return;
      if (!fails) return this.scheduler.loaded(place);
      this.reality.delete(key);
      place.stuckUntilMs = this.nowMs + 500;
      this.scheduler.absent(place);
      this.at(this.nowMs + 500, () => mine() && this.scheduler.reconsider());
    });
  }

  private evict(places: readonly Place[], mine: () => boolean): void {
    for (const place of places) {
      if (place.running > 0) throw new Error(`${keyOf(place)} leaves and computes`);
      this.checkWaste(place);
    }
    const [first] = places as [Place];
    const { frees, places: all } = first.server;
    const left = all.filter(({ state }) => state !== "absent" && state !== "reserved");
    if (frees === "everything" && left.some((place) => !places.includes(place))) {
      throw new Error(`${first.server.name} leaves only in part`);
    }
    const stays = this.troubled && this.below(6) === 0;
    const happen = () => {
      if (!mine()) return;
      for (const place of places) {
        if (place.state !== "leaving") continue;
        if (stays) {
          this.spoilt = true;
          this.scheduler.stayed(place, this.nowMs + 700);
        } else {
          this.reality.delete(keyOf(place));
          this.scheduler.left(place);
        }
      }
    };
    if (this.troubled && this.below(2) === 0) this.at(this.nowMs + this.below(400), happen);
    else happen();
  }

  private checkWaste(place: Place): void {
    const real = this.reality.get(keyOf(place));
    if (!real || real.served || real.withdrawn) return;
    const model = this.models.findIndex(({ name }) => name === place.model);
    // What the outside spoilt is not the scheduler's waste.
    if (this.spoilt || this.withdrawals.has(model)) return;
    throw new Error(`${keyOf(place)} leaves and never served`);
  }

  /** Memory was taken, a server went, a model stayed, a crash came: loads may be in vain. */
  private spoilt = false;

  private plan(untilMs: number): void {
    for (let count = this.below(6); count > 0; count--) {
      const fromMs = this.below(untilMs + 1);
      const toMs = fromMs + this.below(20_000);
      switch (this.below(4)) {
        case 0: {
          const index = this.below(this.devices.length);
          const mib = this.below(Math.floor(this.sizes[index]! * 0.7));
          this.at(fromMs, () => this.take(index, mib));
          this.at(toMs, () => this.take(index, 0));
          break;
        }
        case 1: {
          const index = this.below(this.servers.length);
          this.at(fromMs, () => this.setAvailable(index, false));
          this.at(toMs, () => this.setAvailable(index, true));
          break;
        }
        case 2:
          this.at(fromMs, () => this.crash());
          break;
        case 3:
          this.at(fromMs, () => this.vanish());
          break;
      }
    }
    // In the end strangers have gone and servers are back: then every job must end.
    this.at(untilMs + 40_000, () => {
      this.devices.forEach((_, index) => this.take(index, 0));
      this.servers.forEach((_, index) => this.setAvailable(index, true));
    });
  }

  private take(index: number, mib: number): void {
    this.spoilt = true;
    this.devices[index]!.foreignMiB = mib;
    this.scheduler.reconsider();
  }

  private setAvailable(index: number, available: boolean): void {
    this.spoilt = true;
    this.realServers[index]!.available = available;
    this.scheduler.reconsider();
  }

  /** A server lost an idle model by itself. */
  private vanish(): void {
    const idle = this.places.flat().find((it) => it.state === "resident" && it.running === 0);
    if (!idle) return;
    this.spoilt = true;
    this.reality.delete(keyOf(idle));
    this.scheduler.absent(idle);
  }

  /** The gateway is killed: what computed begins again, what stood on the devices is found. */
  private crash(): void {
    this.spoilt = true;
    this.told.crashes++;
    const foreign = this.devices.map(({ foreignMiB }) => foreignMiB);
    const available = this.realServers.map((server) => server.available);
    const there = [...this.reality.keys()];
    this.begin();
    this.devices.forEach((device, index) => {
      device.foreignMiB = foreign[index]!;
    });
    this.realServers.forEach((server, index) => {
      server.available = available[index]!;
    });
    for (const place of this.places.flat()) {
      if (!there.includes(keyOf(place))) continue;
      this.reality.set(keyOf(place), { place, served: true, withdrawn: false });
      this.scheduler.found(place);
    }
    for (const job of this.jobs) {
      if (job.state !== "waiting" && job.state !== "running") continue;
      job.state = "waiting";
      this.submit(job);
    }
  }

  private readonly heldBefore: number[] = [];

  /** What must hold after every event. */
  private check(): void {
    for (const device of this.devices) this.checkDevice(device);
    for (const { running, slots, name } of this.realServers) {
      if (running > slots) throw new Error(`${name} runs ${running} jobs and has ${slots} slots`);
    }
  }

  private checkDevice(device: Device): void {
    const mine = [...this.running.values()].filter(({ place }) => place.device === device);
    const there = [...this.reality.values()].filter(({ place }) => place.device === device);
    const models = there.reduce((sum, { place }) => sum + place.residentMiB, 0);
    const held = models + mine.reduce((sum, { job }) => sum + job.workingMiB, 0);
    const say = (what: string) => {
      throw new Error(`${device.name} at ${this.nowMs} ms: ${what}`);
    };
    if (held !== device.heldMiB) say(`${device.heldMiB} MiB are in the book and ${held} held`);
    const promised = device.places.reduce(
      (sum, { state, residentMiB, keptMiB }) =>
        sum + keptMiB + (state === "reserved" ? residentMiB : 0),
      0,
    );
    if (promised !== device.promisedMiB) say("the sum of promises is wrong");
    if (mine.length !== device.running) say("the number of running jobs is wrong");
    const heavy = mine.filter(({ job }) => job.heavy).length;
    if (heavy !== device.heavyRunning) say("the number of heavy jobs is wrong");
    if (heavy > device.heavyLimit) say(`${heavy} heavy jobs compute`);
    const before = this.heldBefore[device.index] ?? 0;
    this.heldBefore[device.index] = held;
    // Strangers may take what was counted on; then nothing more may be taken here.
    if (held > before && held + device.foreignMiB > device.limitMiB) {
      say(`${held} of ${device.limitMiB} MiB are held, ${device.foreignMiB} are others'`);
    }
    if (!this.spoilt && freeMiB(device) < 0) say("more is promised than there is");
    const loading = device.places.filter(({ state }) => state === "loading").length;
    if (device.compute === "lane" && mine.length + loading > 1) say("the lane does several things");
    if (this.shape.policy === "exclusive" && there.length > 1) {
      say(`${there.length} models are there, and one is allowed`);
    }
  }

  private next(): Event | undefined {
    const wakeMs = this.scheduler.wakeAtMs();
    const first = this.events[0];
    if (wakeMs < (first?.atMs ?? Infinity)) {
      if (wakeMs > END_MS) return undefined;
      return { atMs: wakeMs, order: 0, happen: () => this.scheduler.reconsider() };
    }
    return take(this.events);
  }

  private at(atMs: number, happen: () => void): void {
    put(this.events, { atMs, order: this.order++, happen });
  }

  private below(count: number): number {
    return Math.floor(this.random() * Math.max(1, count));
  }

  private describe(open: readonly Job[]): string {
    const shown = open.slice(0, 4).map(({ id, model, state }) => {
      const places = this.places[model]!.map(
        (place) => `${keyOf(place)} ${place.state} ${place.residentMiB} running ${place.running}`,
      );
      return `${id} ${state} (${places.join("; ")})`;
    });
    const devices = this.devices.map((device) => {
      const { name, limitMiB, foreignMiB, heldMiB, promisedMiB, reservation } = device;
      const places = device.places.map(
        (it) => `${keyOf(it)}=${it.state}/${it.residentMiB}/r${it.running}/s${it.served}`,
      );
      return (
        `${name} ${heldMiB}+${promisedMiB}+${foreignMiB} of ${limitMiB} [${places.join(" ")}]` +
        (reservation ? ` reserved for ${reservation.job.id}` : "")
      );
    });
    return [...shown, ...devices].join("\n  ");
  }
}

function keyOf({ model, device }: Place): string {
  return `${model}@${device.name}`;
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs;
}

/** A binary heap, the next event on top. */
function put(heap: Event[], event: Event): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (isBefore(heap[parent]!, event)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = event;
}

function take(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!first || !last || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
    if (isBefore(last, heap[child]!)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return first;
}

/** mulberry32: small, and the same everywhere. */
function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
