/**
 * Checks a result against the services, the trace and the options of the command that made it, from
 * the lines alone: whoever wrote them, a result that breaks a rule of the model is found out.
 *
 * Readings that the format leaves open:
 * - `slots` are those of a service on one device: each copy is a server of its own.
 * - Where one thing ends and another begins at the same time, the end comes first. An eviction may
 *   so be at the end of the last job, and a load at the eviction that makes room.
 * - A load is wasted if no job started on it before its eviction. One that is never evicted and
 *   served none is wasted too if a job of its service was waiting when it began, for the result has
 *   all jobs done without it. If none was waiting, it was a look ahead whose use may lie behind the
 *   end of the trace: counted (`openPrefetches`), not held against the result.
 * - Loads may overlap each other where computing is shared.
 */
import { checkComputing } from "./computing.ts";
import { type Court, type JudgeOptions, keyOf, type Run, type Violation } from "./court.ts";
import { HEAVY_MS, type ResultLine } from "./format.ts";
import { type Metrics, measure, mostAtOnce } from "./metrics.ts";
import { type Copy, openCopies } from "./residencies.ts";

export interface Verdict {
  /** At most a thousand; none means that the result obeys. */
  readonly violations: readonly Violation[];
  readonly metrics: Metrics & { readonly wastedLoads: number; readonly openPrefetches: number };
}

const VIOLATION_LIMIT = 1_000;

export function judge(options: JudgeOptions, lines: readonly ResultLine[]): Verdict {
  const violations: Violation[] = [];
  const court: Court = {
    ...options,
    toleranceMs: options.toleranceMs ?? 0.01,
    jobsById: new Map(options.jobs.map((job) => [job.id, job])),
    servicesByName: new Map(options.services.map((service) => [service.name, service])),
    charge(rule, text) {
      if (violations.length < VIOLATION_LIMIT) violations.push({ rule, text });
    },
  };
  const sound = lines.filter((line) => isSound(court, line));
  if (court.jobsById.size < options.jobs.length) court.charge("format", "two jobs share an id");
  checkSummary(court, lines);
  const runs = runsOf(court, sound);
  const copies = openCopies(court, sound);
  for (const run of runs) serve(court, copies.get(keyOf(run.device, run.job.service)) ?? [], run);
  checkSlotsAndHeavy(court, runs);
  checkComputing(court, runs, sound);
  return {
    violations,
    metrics: {
      ...measure(options.services, options.jobs, sound),
      ...wasted(court, runs, copies),
    },
  };
}

function isSound(court: Court, line: ResultLine): boolean {
  const broken = brokenFormat(court, line);
  if (broken === undefined) return true;
  court.charge("format", `${broken}: ${JSON.stringify(line)}`);
  return false;
}

function brokenFormat(court: Court, line: ResultLine): string | undefined {
  switch (line.type) {
    case "summary":
      return undefined;
    case "job":
      if (!court.jobsById.has(line.id)) return "no such job in the trace";
      return brokenPlace(court, line.device) ?? brokenTimes(line.start_ms, line.end_ms);
    case "load":
      if (!court.servicesByName.has(line.service)) return "no such service";
      return brokenPlace(court, line.device) ?? brokenTimes(line.start_ms, line.end_ms);
    case "evict":
      if (!court.servicesByName.has(line.service)) return "no such service";
      return brokenPlace(court, line.device) ?? brokenTimes(line.at_ms, line.at_ms);
    default:
      return "no such type of line";
  }
}

function brokenPlace({ devicesMib }: Court, device: number): string | undefined {
  return devicesMib[device] === undefined ? `no device ${device}` : undefined;
}

function brokenTimes(start: number, end: number): string | undefined {
  const isTime = Number.isFinite(start) && Number.isFinite(end) && start >= 0 && end >= start;
  return isTime ? undefined : "times must be numbers from 0 on, the end not before the start";
}

function checkSummary(court: Court, lines: readonly ResultLine[]): void {
  const summaries = lines.filter(({ type }) => type === "summary").length;
  if (summaries !== 1 || lines.at(-1)?.type !== "summary") {
    court.charge("format", `one summary must come last; there are ${summaries}`);
  }
}

function runsOf(court: Court, sound: readonly ResultLine[]): Run[] {
  const runs: Run[] = [];
  const times = new Map<string, number>();
  for (const line of sound) {
    const job = line.type === "job" ? court.jobsById.get(line.id) : undefined;
    if (line.type !== "job" || job === undefined) continue;
    const { device, start_ms, end_ms } = line;
    runs.push({ job, device, start_ms, end_ms });
    times.set(job.id, (times.get(job.id) ?? 0) + 1);
    if (start_ms < job.at_ms - court.toleranceMs) {
      court.charge("arrival", `job ${job.id} started at ${start_ms}, before ${job.at_ms}`);
    }
  }
  for (const { id } of court.jobs) {
    const count = times.get(id) ?? 0;
    if (count !== 1) court.charge("once", `job ${id} ran ${count} times`);
  }
  return runs;
}

/** Finds the copy on which a job ran; copies are in order of time. */
function serve(court: Court, copies: readonly Copy[], { job, device, ...run }: Run): void {
  const slack = court.toleranceMs;
  const copy = copies[countReady(copies, run.start_ms + slack) - 1];
  const where = `job ${job.id} of ${job.service} on device ${device} from ${run.start_ms}`;
  if (copy === undefined || copy.evictedMs < run.start_ms - slack) {
    court.charge("residency", `${where} to ${run.end_ms}: its service was not resident`);
    return;
  }
  copy.served++;
  if (copy.evictedMs < run.end_ms - slack) {
    court.charge("eviction", `${where} to ${run.end_ms}: evicted at ${copy.evictedMs}`);
  }
}

/** How many copies were ready by then, by halving. */
function countReady(copies: readonly Copy[], atMs: number): number {
  let from = 0;
  let to = copies.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (copies[middle]!.readyMs <= atMs) from = middle + 1;
    else to = middle;
  }
  return from;
}

function checkSlotsAndHeavy(court: Court, runs: readonly Run[]): void {
  const slack = court.toleranceMs;
  const shortened = runs.map((run) => ({ ...run, end_ms: run.end_ms - slack }));
  const byCopy = Map.groupBy(shortened, ({ device, job }) => keyOf(device, job.service));
  for (const [key, group] of byCopy) {
    const slots = court.servicesByName.get(group[0]!.job.service)?.slots ?? 1;
    const most = mostAtOnce(group);
    if (most > slots) court.charge("slots", `${most} jobs at once on ${key}; slots: ${slots}`);
  }
  if (court.heavy === undefined) return;
  const heavy = shortened.filter(
    ({ job }) => (court.servicesByName.get(job.service)?.run_ms ?? 0) > HEAVY_MS,
  );
  for (const [device, group] of Map.groupBy(heavy, (run) => run.device)) {
    const most = mostAtOnce(group);
    if (most > court.heavy) {
      court.charge(
        "heavy",
        `${most} heavy jobs at once on device ${device}; limit: ${court.heavy}`,
      );
    }
  }
}

function wasted(
  court: Court,
  runs: readonly Run[],
  copies: ReadonlyMap<string, readonly Copy[]>,
): { wastedLoads: number; openPrefetches: number } {
  let wastedLoads = 0;
  let openPrefetches = 0;
  for (const copy of [...copies.values()].flat()) {
    if (copy.served > 0) continue;
    const isOpen = copy.evictedMs === Number.POSITIVE_INFINITY;
    if (isOpen && !runs.some((run) => isWaitingFor(copy, run))) {
      openPrefetches++;
    } else {
      wastedLoads++;
      const { service, device, startMs } = copy;
      court.charge("wasted", `the load of ${service} on device ${device} at ${startMs}`);
    }
  }
  return { wastedLoads, openPrefetches };
}

function isWaitingFor({ service, startMs }: Copy, { job, start_ms }: Run): boolean {
  return job.service === service && job.at_ms <= startMs && start_ms >= startMs;
}
