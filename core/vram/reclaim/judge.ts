/**
 * Whether a verb did what it says. The probe decides: enough memory has left, or it has not. Where
 * nothing is measured, or so little is expected or used that a measurement says nothing, the verb's
 * word is held against what the backend says it still holds, and taken when it cannot say.
 */
import type { Clock } from "../../clock.ts";
import type { BackendPort } from "../ports.ts";
import { pause, type ReclaimSettings, within } from "./limits.ts";
import type { Verb } from "./trust.ts";

/** What was measured at one moment. */
export interface Usage {
  /** Used on the whole device, by whomever. */
  readonly deviceMiB: number;
  /** Used there by the backend's processes; undefined when they cannot be told apart. */
  readonly ownMiB?: number | undefined;
  /** The most that the backend can hold: what the processes of no other backend use. */
  readonly atMostMiB?: number | undefined;
}

/** What a verb promises. */
export interface Claim {
  readonly backend: BackendPort;
  readonly verb: Verb;
  /** The models that it takes, and what they were believed to hold together. */
  readonly models: ReadonlySet<string>;
  readonly expectedMiB: number;
  /** What the backend was believed to hold beside them. */
  readonly restMiB: number;
  /** Measured before the first verb; absent when nothing is measured. */
  readonly start: Usage | undefined;
}

/**
 * `seen`: the probe saw enough leave. `said`: the backend no longer lists the models. `taken`:
 * nobody can tell. `lied`: it settled and did not do it. `open`: cut short, or nobody answered.
 */
export interface Verdict {
  readonly kind: "seen" | "said" | "taken" | "lied" | "open";
  /** The last look, where there was one. */
  readonly after?: Usage | undefined;
}

export interface Judge {
  /** Never rejects; undefined when nothing is measured. */
  look(backend: BackendPort, signal: AbortSignal): Promise<Usage | undefined>;
  /** After the verb has settled. */
  settled(claim: Claim, signal: AbortSignal): Promise<Verdict>;
  /** After the verb has failed: one look, because it may have done its work all the same. */
  failed(claim: Claim, signal: AbortSignal): Promise<Verdict>;
}

export interface JudgeOptions {
  readonly usage: (
    backend: BackendPort,
    device: string,
    signal: AbortSignal,
  ) => Promise<Usage | undefined>;
  readonly device: string;
  readonly settings: ReclaimSettings;
  readonly clock: Clock;
}

/** MiB that have left in between; negative when there is more now. */
export function fallOf(before: Usage, after: Usage): number {
  const both = before.ownMiB !== undefined && after.ownMiB !== undefined;
  return both ? (before.ownMiB ?? 0) - (after.ownMiB ?? 0) : before.deviceMiB - after.deviceMiB;
}

export function createJudge(options: JudgeOptions): Judge {
  const { usage, device, settings, clock } = options;
  const { share, noiseMiB, lookMs, watchMs, againMs, measureMs } = settings;

  const look: Judge["look"] = async (backend, signal) => {
    try {
      return await within(measureMs, signal, (cut) => usage(backend, device, cut));
    } catch {
      // A probe that fails says so itself; here it is one that does not know.
      return undefined;
    }
  };

  /** Undefined when the backend does not answer. */
  async function held(claim: Claim, signal: AbortSignal): Promise<boolean | undefined> {
    const { residents } = claim.backend;
    if (!residents) return undefined;
    try {
      const there = await within(measureMs, signal, residents);
      return there.some(({ model }) => claim.models.has(model));
    } catch {
      return undefined;
    }
  }

  /** No verb can free more than there was: an estimate that is too high makes no liar. */
  function due(claim: Claim, start: Usage): number {
    return Math.min(claim.expectedMiB, start.ownMiB ?? start.deviceMiB);
  }

  function sees(claim: Claim, start: Usage, now: Usage): boolean {
    return fallOf(start, now) >= share * due(claim, start);
  }

  /** Where a fall would say something: the first measurement. */
  function measurable(claim: Claim): Usage | undefined {
    const { backend, start, restMiB, expectedMiB } = claim;
    if (!start || due(claim, start) < noiseMiB) return undefined;
    // What others of its models hold is a belief, too: only the backend can tell them apart.
    if (restMiB > 0 && !backend.residents) return start;
    // So little was used that the models had left by themselves: a context is all that could fall.
    const goneMiB = restMiB + (1 - share) * expectedMiB;
    return (start.ownMiB ?? start.deviceMiB) > goneMiB ? start : undefined;
  }

  /** Undefined when the last look measured nothing. */
  async function watch(claim: Claim, start: Usage, signal: AbortSignal) {
    const untilMs = clock.monotonicMs() + watchMs;
    for (let last = false; ; ) {
      const after = await look(claim.backend, signal);
      if (signal.aborted) return { kind: "open", after } as const;
      if (after && sees(claim, start, after)) return { kind: "seen", after } as const;
      // A probe that fell silent on the way convicts nobody.
      if (last) return after && ({ kind: "lied", after } as const);
      // Of a whole device others may take what has just become free: they may give it back.
      last = clock.monotonicMs() >= untilMs;
      await pause(last ? againMs : lookMs, signal);
    }
  }

  async function heard(claim: Claim, signal: AbortSignal): Promise<Verdict["kind"]> {
    const { backend, verb } = claim;
    if (verb === "stop") return backend.process?.running() ? "lied" : "taken";
    if (!backend.residents) return "taken";
    const untilMs = clock.monotonicMs() + watchMs;
    let answer: boolean | undefined;
    for (;;) {
      const now = await held(claim, signal);
      if (signal.aborted) return "open";
      if (now === false) return "said";
      answer = now ?? answer;
      if (clock.monotonicMs() >= untilMs) return answer ? "lied" : "open";
      await pause(lookMs, signal);
    }
  }

  return {
    look,
    async settled(claim, signal) {
      const start = measurable(claim);
      const verdict = start && (await watch(claim, start, signal));
      if (verdict) return verdict;
      const kind = await heard(claim, signal);
      return { kind, after: claim.start && (await look(claim.backend, signal)) };
    },
    async failed(claim, signal) {
      const start = measurable(claim);
      const after = start && (await look(claim.backend, signal));
      const seen = start && after && sees(claim, start, after);
      return { kind: seen ? "seen" : "open", after };
    },
  };
}
