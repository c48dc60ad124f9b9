/**
 * Makes models of one backend really leave a device: the cheapest verb first, each believed only
 * when the probe has seen enough memory leave, else the next one.
 *
 * The order is that of what is lost. `free` takes the models asked for (or, on some servers, all of
 * them) and the server goes on. The other two take everything, and need a process that the gateway
 * supervises. `restart` gives back a server that is up: it is for a process that is needed at once,
 * because it holds other models or work waits for it. Where nobody needs it, `stop` is the cheaper
 * of the two: it is the first half of a restart, the memory is there sooner, the context leaves too,
 * and the start is paid by the next job, if one ever comes. A restart frees nothing where the server
 * comes up with its model; that is seen, and after two times it is demoted.
 *
 * - judge.ts: whether a verb did what it says.
 * - trust.ts: the verbs that lied, and for how long that counts.
 * - turns.ts: who reclaims at the same time.
 * - limits.ts: every limit, and where it is from.
 */
import type { Clock } from "../../clock.ts";
import { type Log, messageOf } from "../../log.ts";
import type { BackendPort } from "../ports.ts";
import { type Claim, createJudge, fallOf, type Judge, type Usage } from "./judge.ts";
import { RECLAIM_SETTINGS, type ReclaimSettings, within } from "./limits.ts";
import { createTrust, type Demotion, type Verb } from "./trust.ts";
import { createTurns } from "./turns.ts";

export type { Usage } from "./judge.ts";
export type { ReclaimSettings } from "./limits.ts";
export type { Demotion, Verb } from "./trust.ts";

export interface HeldModel {
  readonly model: string;
  readonly residentMiB: number;
}

export interface ReclaimRequest {
  readonly backend: BackendPort;
  readonly device: string;
  readonly models: readonly HeldModel[];
  /** Everything that the backend holds there: some verbs take all of it. */
  readonly allModels: readonly HeldModel[];
  /** Whether its process is needed right after; unless said, whether it holds other models. */
  readonly needed?: boolean;
  readonly signal: AbortSignal;
}

export interface ReclaimAttempt {
  readonly verb: Verb;
  /** What was believed to leave with it, less what earlier verbs were seen to free. */
  readonly expectedMiB: number;
  /** What was seen to leave; negative when there was more used after it, null without a probe. */
  readonly actualMiB: number | null;
  readonly durationMs: number;
  /** It failed. It may be believed all the same, when the probe saw the memory leave. */
  readonly error?: string;
  readonly believed: boolean;
}

export interface ReclaimResult {
  readonly backend: string;
  readonly device: string;
  /** What left; everything that it held where the verb takes all. What was asked when not freed. */
  readonly models: readonly string[];
  readonly freed: boolean;
  /** What `models` were believed to hold. */
  readonly expectedMiB: number;
  /** From before the first verb until after the last; null without a probe. */
  readonly actualMiB: number | null;
  readonly attempts: readonly ReclaimAttempt[];
}

export interface Reclaimer {
  /**
   * Settles when the models are gone, no verb is left or the signal fires; never rejects. One at a
   * time for each backend; where only whole devices are measured, one for each device.
   */
  reclaim(request: ReclaimRequest): Promise<ReclaimResult>;
  /** Which verbs it has without the demoted ones; [] when it cannot be made to leave now. */
  verbs(backend: BackendPort): readonly Verb[];
  demotions(): readonly Demotion[];
}

export interface ReclaimerOptions {
  /**
   * Measured after the call; undefined where there is no probe. For `ownMiB` see `ownUsedMiB` in
   * truth.ts; the backend's processes must be asked for anew: after a restart they are others.
   */
  readonly usage: (
    backend: BackendPort,
    device: string,
    signal: AbortSignal,
  ) => Promise<Usage | undefined>;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings?: Partial<ReclaimSettings>;
}

export function createReclaimer(options: ReclaimerOptions): Reclaimer {
  const { clock, log, usage } = options;
  const settings = { ...RECLAIM_SETTINGS, ...options.settings };
  const { lies, demotedMs } = settings;
  const trust = createTrust({ clock, lies, demotedMs });
  const turns = createTurns();

  const isDemoted = ({ name }: BackendPort, verb: Verb) => trust.isDemoted(name, verb);
  const verbs = (backend: BackendPort) => verbsOf(backend).filter((it) => !isDemoted(backend, it));

  /** Demoted verbs come last: better than giving up, and how they can prove themselves. */
  function ladder({ backend, models, allModels, needed }: ReclaimRequest): Verb[] {
    const others = allModels.some((it) => models.every(({ model }) => model !== it.model));
    // There is nothing to restart after a stop.
    const restarts = (needed ?? others) || isDemoted(backend, "stop");
    const steps = verbsOf(backend).filter((verb) => verb !== "restart" || restarts);
    const last = steps.filter((verb) => isDemoted(backend, verb));
    return [...steps.filter((verb) => !last.includes(verb)), ...last];
  }

  /** Takes the turns and the first measurement; fills `attempts`. */
  async function climb(request: ReclaimRequest, attempts: ReclaimAttempt[]) {
    const { backend, device, signal } = request;
    const judge = createJudge({ usage, device, settings, clock });
    const own = await turns.take(`backend ${backend.name}`, "alone", signal);
    try {
      let start = await judge.look(backend, signal);
      const kind = start && start.ownMiB === undefined ? "alone" : "shared";
      const shared = await turns.take(`device ${device}`, kind, signal);
      try {
        if (shared.waited) start = await judge.look(backend, signal);
        return await steps(request, judge, start, attempts);
      } finally {
        shared.end();
      }
    } finally {
      own.end();
    }
  }

  async function steps(
    request: ReclaimRequest,
    judge: Judge,
    start: Usage | undefined,
    attempts: ReclaimAttempt[],
  ): Promise<{ readonly by?: Verb; readonly fallMiB?: number }> {
    const { backend, signal } = request;
    // Its process is ours, has ended, and nobody answers in its place: with it went its memory.
    if (backend.process && !backend.process.running() && !backend.usable()) return { by: "stop" };
    if (!backend.process && isGone(request, start, settings.share)) return { by: "stop" };
    let latest = start;
    const fallMiB = () => (start && latest ? { fallMiB: fallOf(start, latest) } : {});
    for (const verb of ladder(request)) {
      if (signal.aborted) break;
      // There is nothing to restart, and a start frees nothing.
      if (verb === "restart" && !backend.process?.running()) continue;
      const taken = takenBy(verb, request);
      const claim: Claim = {
        backend,
        verb,
        models: new Set(taken.map(({ model }) => model)),
        expectedMiB: sizeOf(taken),
        restMiB: sizeOf(union(request)) - sizeOf(taken),
        start,
      };
      const before = latest;
      const seenMiB = start && before ? Math.max(0, fallOf(start, before)) : 0;
      const { attempt, after } = await attemptWith(claim, request, judge, seenMiB, before);
      attempts.push(attempt);
      latest = after ?? latest;
      if (attempt.believed) return { by: verb, ...fallMiB() };
    }
    return fallMiB();
  }

  async function attemptWith(
    claim: Claim,
    { device, models, signal }: ReclaimRequest,
    judge: Judge,
    seenMiB: number,
    before: Usage | undefined,
  ) {
    const { backend, verb } = claim;
    const beganMs = clock.monotonicMs();
    const limitMs = verb === "free" ? settings.freeMs : settings.processMs;
    const error = await within(limitMs, signal, (cut) => act(verb, backend, models, cut)).then(
      () => undefined,
      messageOf,
    );
    const verdict = await judge[error === undefined ? "settled" : "failed"](claim, signal);
    const { kind, after } = verdict;
    const fallMiB = before && after && Math.round(fallOf(before, after));
    const attempt: ReclaimAttempt = {
      verb,
      expectedMiB: Math.round(Math.max(0, claim.expectedMiB - seenMiB)),
      actualMiB: fallMiB ?? null,
      durationMs: Math.round(clock.monotonicMs() - beganMs),
      ...(error === undefined ? {} : { error }),
      believed: kind === "seen" || kind === "said" || kind === "taken",
    };
    if (kind === "seen" || kind === "said") trust.worked(backend.name, verb);
    if (kind === "lied") blame(backend, attempt);
    if (!attempt.believed && !signal.aborted) {
      log.warn("a verb did not free enough", { backend: backend.name, device, ...attempt });
    }
    return { attempt, after };
  }

  function blame({ name }: BackendPort, { verb, actualMiB, expectedMiB }: ReclaimAttempt): void {
    const seen =
      actualMiB === null
        ? "the backend still lists what should have left"
        : `the probe saw ${actualMiB} of ${expectedMiB} MiB leave`;
    const reason = `${verb} settled ${lies} times in a row, but ${seen}`;
    if (!trust.lied(name, verb, reason)) return;
    log.warn("a verb is demoted", { backend: name, verb, reason, forMs: demotedMs });
  }

  return {
    verbs,
    demotions: trust.demotions,
    async reclaim(request) {
      const { backend, device, models, signal } = request;
      const attempts: ReclaimAttempt[] = [];
      let end: { readonly by?: Verb; readonly fallMiB?: number } = {};
      try {
        if (models.length > 0) end = await climb(request, attempts);
      } catch (error) {
        const fields = { backend: backend.name, device, error: messageOf(error) };
        if (!signal.aborted) log.error("models could not be made to leave", fields);
      }
      const { by, fallMiB } = end;
      const gone = by === undefined ? models : takenBy(by, request);
      return {
        backend: backend.name,
        device,
        models: gone.map(({ model }) => model),
        freed: by !== undefined || models.length === 0,
        expectedMiB: Math.round(sizeOf(gone)),
        actualMiB: fallMiB === undefined ? null : Math.round(fallMiB),
        attempts,
      };
    },
  };
}

/**
 * Whether a server of somebody else's has ended and its memory with it: nobody answers, and what is
 * used cannot be its models. One that hangs still holds them, and the probe sees that.
 */
function isGone(request: ReclaimRequest, start: Usage | undefined, share: number): boolean {
  if (request.backend.usable() || !start) return false;
  const mostMiB = start.ownMiB ?? start.atMostMiB ?? start.deviceMiB;
  return mostMiB < (1 - share) * sizeOf(union(request));
}

function verbsOf({ free, process }: BackendPort): Verb[] {
  return [...(free ? (["free"] as const) : []), ...(process ? (["restart", "stop"] as const) : [])];
}

/** What leaves with this verb. */
function takenBy(verb: Verb, request: ReclaimRequest): readonly HeldModel[] {
  const one = verb === "free" && request.backend.frees === "model";
  return one ? request.models : union(request);
}

function union({ models, allModels }: ReclaimRequest): readonly HeldModel[] {
  const asked = new Set(models.map(({ model }) => model));
  return [...models, ...allModels.filter(({ model }) => !asked.has(model))];
}

function sizeOf(models: readonly HeldModel[]): number {
  return models.reduce((sum, { residentMiB }) => sum + residentMiB, 0);
}

async function act(
  verb: Verb,
  backend: BackendPort,
  models: readonly HeldModel[],
  signal: AbortSignal,
): Promise<void> {
  if (verb !== "free") return backend.process?.[verb](signal);
  const told = backend.frees === "model" ? models : models.slice(0, 1);
  // All are told before the first failure counts, so that as much as possible leaves.
  const ends = await Promise.allSettled(told.map(({ model }) => backend.free?.(model, signal)));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
