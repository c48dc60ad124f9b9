/**
 * Which verbs of which backends have lied lately. A verb lies when it settles although the probe
 * (or, without one, the backend itself) sees too little leave; one that throws has not promised
 * anything. After two lies in a row it is demoted: it is tried only when no other verb is left,
 * until it is seen to work there, or until 30 minutes have passed since its last lie.
 */
import type { Clock } from "../../clock.ts";

export type Verb = "free" | "restart" | "stop";

export interface Demotion {
  readonly backend: string;
  readonly verb: Verb;
  /** Wall clock. */
  readonly sinceMs: number;
  readonly reason: string;
}

export interface Trust {
  isDemoted(backend: string, verb: Verb): boolean;
  /** It was seen to work. */
  worked(backend: string, verb: Verb): void;
  /** True when this lie demotes it. */
  lied(backend: string, verb: Verb, reason: string): boolean;
  demotions(): readonly Demotion[];
}

interface Entry {
  lies: number;
  demotion?: Demotion;
  /** Monotonic. */
  untilMs: number;
}

export function createTrust(options: {
  readonly clock: Clock;
  readonly lies: number;
  readonly demotedMs: number;
}): Trust {
  const { clock, lies, demotedMs } = options;
  // Bounded: at most three verbs for each configured backend.
  const entries = new Map<string, Entry>();
  const key = (backend: string, verb: Verb): string => `${verb} ${backend}`;

  function current(name: string): Entry | undefined {
    const entry = entries.get(name);
    if (entry?.demotion && clock.monotonicMs() >= entry.untilMs) {
      entries.delete(name);
      return undefined;
    }
    return entry;
  }

  return {
    isDemoted: (backend, verb) => current(key(backend, verb))?.demotion !== undefined,
    worked: (backend, verb) => void entries.delete(key(backend, verb)),
    lied(backend, verb, reason) {
      const name = key(backend, verb);
      const entry = current(name) ?? { lies: 0, untilMs: 0 };
      entries.set(name, entry);
      entry.lies++;
      if (entry.lies < lies) return false;
      const isNew = entry.demotion === undefined;
      const sinceMs = entry.demotion?.sinceMs ?? clock.nowMs();
      entry.demotion = { backend, verb, sinceMs, reason };
      entry.untilMs = clock.monotonicMs() + demotedMs;
      return isNew;
    },
    demotions: () => [...entries.keys()].flatMap((name) => current(name)?.demotion ?? []),
  };
}
