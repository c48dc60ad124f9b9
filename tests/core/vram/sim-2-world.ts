/**
 * A random world around the scheduler: devices of odd sizes, servers that do what they are told late,
 * badly or not at all, strangers who take memory, and a scheduler that is thrown away in the middle.
 * Everything is drawn from one seed; what must hold is checked at every event.
 */

import type { Device, Group, Place, Server, Waiting } from "../../../core/vram/ledger.ts";
import { exclusive } from "../../../core/vram/policy/exclusive.ts";
import { fair } from "../../../core/vram/policy/fair.ts";
import { fifo } from "../../../core/vram/policy/fifo.ts";
import { createScheduler, type Running, type Scheduler } from "../../../core/vram/scheduler.ts";
import { checkBound, checkDevice, describeDevice, type RunFacts } from "./sim-2-checks.ts";
import {
  build,
  drawJob,
  drawPlan,
  drawTroubles,
  type JobPlan,
  type Plan,
  SETTINGS,
  type Told,
  type WorldShape,
} from "./sim-2-plan.ts";
import { createTimeline, mulberry } from "./sim-2-timeline.ts";

const POLICIES = { fair, fifo, exclusive };
/** Nothing takes that long: whoever still waits then would wait for ever. */
const END_MS = 3_000_000;
const EVENT_LIMIT = 60_000;

interface Job extends JobPlan {
  readonly id: string;
  waiting?: Waiting;
  state: "waiting" | "running" | "ended" | "withdrawn";
}

/** Runs the world to its end; throws with what did not hold. */
export function runWorld(shape: WorldShape): Told {
  return new World(shape).run();
}

/** One run: state with a lifecycle. */
class World {
  private readonly random: () => number;
  private readonly timeline = createTimeline();
  private nowMs = 0;
  private generation = 0;
  private readonly plan: Plan;
  private readonly jobs: Job[] = [];
  /** What is really on the devices, whatever the scheduler believes: "model device" -> MiB. */
  private readonly reality = new Map<string, { place: Place; served: boolean }>();
  private scheduler!: Scheduler;
  private devices: Device[] = [];
  private realServers: Server[] = [];
  private groups: Group[] = [];
  private places: Place[][] = [];
  private running = new Map<string, Running>();
  private readonly runs: RunFacts[] = [];
  private readonly told: Told = { ended: 0, withdrawn: 0, loads: 0, crashes: 0 };

  constructor(private readonly shape: WorldShape) {
    this.random = mulberry(shape.seed);
    this.plan = drawPlan(shape, this.random);
  }

  run(): Told {
    this.begin();
    let atMs = 0;
    for (let index = 0; index < this.shape.jobs; index++) {
      if (this.below(4) > 0) atMs += this.below(1_200);
      this.timeline.at(atMs, () => this.arrive(index));
    }
    if (this.shape.trouble) this.makeTrouble(atMs);
    for (let count = 0; this.advance(); count++) {
      if (count > EVENT_LIMIT) throw new Error("the world does not come to an end");
      this.check();
    }
    const open = this.jobs.filter(({ state }) => state === "waiting" || state === "running");
    if (open.length > 0) {
      const names = open.slice(0, 4).map(({ id, model, state }) => `${id} of m${model} ${state}`);
      throw new Error(
        [`${open.length} jobs never ended`, ...names, ...this.devices.map(describeDevice)].join(
          "\n  ",
        ),
      );
    }
    if (this.shape.plain) checkBound(this.runs, this.plan, SETTINGS);
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
    const stage = build(this.scheduler, this.plan, this.shape.compute);
    ({ devices: this.devices, servers: this.realServers, groups: this.groups } = stage);
    this.places = stage.groups.map(({ places }) => [...places]);
  }

  private arrive(index: number): void {
    const job: Job = {
      id: `j${index}`,
      ...drawJob(this.shape, this.plan, this.random),
      state: "waiting",
    };
    this.jobs.push(job);
    this.submit(job);
    if (this.shape.trouble && this.below(12) === 0) {
      this.timeline.at(this.nowMs + this.below(20_000), () => this.withdraw(job));
    }
  }

  private submit(job: Job): void {
    const { runMs, workingMiB } = this.plan.models[job.model]!;
    const group = this.groups[job.model]!;
    const room = Math.max(
      ...group.places.map(({ device, residentMiB }) => device.limitMiB - residentMiB),
    );
    // `start` may come before this returns.
    job.waiting = this.scheduler.arrive({
      id: job.id,
      group,
      key: job.key,
      keyWeight: 1,
      priority: job.priority,
      runMs,
      workingMiB: Math.min(workingMiB, room),
      startByMs: job.hurryMs === undefined ? undefined : this.nowMs + job.hurryMs,
    });
  }

  private withdraw(job: Job): void {
    if (job.state !== "waiting" || !job.waiting) return;
    job.state = "withdrawn";
    this.told.withdrawn++;
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
    this.runs.push({ job: waiting, startMs: this.nowMs, endMs: this.nowMs + job.runMs });
    this.running.set(job.id, running);
    this.timeline.at(this.nowMs + job.runMs, () => {
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
    this.reality.set(key, { place, served: false });
    const takesMs = Math.max(1, Math.floor(place.loadMs * (0.5 + this.random())));
    const fails = this.shape.trouble && this.below(15) === 0;
    this.timeline.at(this.nowMs + takesMs, () => {
      if (!mine() || place.state !== "loading") return;
      if (!fails) return this.scheduler.loaded(place);
      this.reality.delete(key);
      place.stuckUntilMs = this.nowMs + 500;
      this.scheduler.absent(place);
      this.timeline.at(this.nowMs + 500, () => mine() && this.scheduler.reconsider());
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
    const stays = this.shape.trouble && this.below(6) === 0;
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
    if (this.shape.trouble && this.below(2) === 0)
      this.timeline.at(this.nowMs + this.below(400), happen);
    else happen();
  }

  private checkWaste(place: Place): void {
    const real = this.reality.get(keyOf(place));
    if (!real || real.served) return;
    const model = this.plan.models.findIndex(({ name }) => name === place.model);
    // What the outside spoilt is not the scheduler's waste.
    if (this.spoilt || this.withdrawals.has(model)) return;
    throw new Error(`${keyOf(place)} leaves and never served`);
  }

  /** Memory was taken, a server went, a model stayed, a crash came: loads may be in vain. */
  private spoilt = false;

  private makeTrouble(untilMs: number): void {
    for (const trouble of drawTroubles(this.plan, untilMs, this.random)) {
      const { fromMs, toMs, index } = trouble;
      switch (trouble.kind) {
        case "foreign":
          this.timeline.at(fromMs, () => this.take(index, trouble.mib));
          this.timeline.at(toMs, () => this.take(index, 0));
          break;
        case "away":
          this.timeline.at(fromMs, () => this.setAvailable(index, false));
          this.timeline.at(toMs, () => this.setAvailable(index, true));
          break;
        case "crash":
          this.timeline.at(fromMs, () => this.crash());
          break;
        case "vanish":
          this.timeline.at(fromMs, () => this.vanish());
          break;
      }
    }
    // In the end strangers have gone and servers are back: then every job must end.
    this.timeline.at(untilMs + 40_000, () => {
      for (const index of this.devices.keys()) this.take(index, 0);
      for (const index of this.realServers.keys()) this.setAvailable(index, true);
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
      this.reality.set(keyOf(place), { place, served: true });
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
    const there = [...this.reality.values()].map(({ place }) => place);
    for (const device of this.devices) {
      const facts = {
        device,
        there: there.filter((place) => place.device === device),
        running: [...this.running.values()].filter(({ place }) => place.device === device),
        heldBeforeMiB: this.heldBefore[device.index] ?? 0,
        spoilt: this.spoilt,
        exclusive: this.shape.policy === "exclusive",
      };
      this.heldBefore[device.index] = checkDevice(facts);
    }
    for (const { running, slots, name } of this.realServers) {
      if (running > slots) throw new Error(`${name} runs ${running} jobs and has ${slots} slots`);
    }
  }

  /** False when nothing will happen any more. */
  private advance(): boolean {
    const wakeMs = this.scheduler.wakeAtMs();
    if (wakeMs < this.timeline.nextMs()) {
      if (wakeMs > END_MS) return false;
      this.nowMs = wakeMs;
      this.scheduler.reconsider();
      return true;
    }
    const event = this.timeline.take();
    if (!event) return false;
    this.nowMs = event.atMs;
    event.happen();
    return true;
  }

  private below(count: number): number {
    return Math.floor(this.random() * Math.max(1, count));
  }
}

function keyOf({ model, device }: Place): string {
  return `${model}@${device.name}`;
}
