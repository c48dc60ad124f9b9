/**
 * Work that a gateway left behind when it died: its backend still computes, and nobody here knows
 * the job any more. Until the backend says that it is idle one of its slots stays taken.
 */
import type { Server } from "./ledger.ts";
import type { BackendPort } from "./ports.ts";
import type { Roster } from "./roster.ts";

export interface Orphans {
  /**
   * To be called when the backend can be asked; only the first time counts, for what it computes
   * later is ours. `isAdopted`: a job of ours takes its work up again.
   */
  look(backend: BackendPort, isAdopted: boolean): void;
  /** Backends that compute for nobody we know, with the monotonic time of the first look. */
  list(): ReadonlyMap<string, number>;
  close(): void;
}

export interface OrphansOptions {
  readonly roster: Roster;
  readonly nowMs: () => number;
  readonly reconsider: () => void;
}

const POLL_MS = 2_000;
/** A backend that says for longer than this that it computes does so for somebody else. */
const LIMIT_MS = 10 * 60_000;

export function createOrphans({ roster, nowMs, reconsider }: OrphansOptions): Orphans {
  const found = new Map<string, number>();
  const seen = new Set<string>();
  const timers = new Set<ReturnType<typeof setTimeout>>();

  function watch(port: BackendPort, server: Server, sinceMs: number): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      const isOld = nowMs() - sinceMs > LIMIT_MS;
      if (!isOld && port.usable() && port.busy()) return watch(port, server, sinceMs);
      found.delete(port.name);
      server.running--;
      return reconsider();
    }, POLL_MS);
    timer.unref();
    timers.add(timer);
  }

  return {
    look(port, isAdopted) {
      const server = roster.servers.get(port.name);
      if (seen.has(port.name) || !port.usable()) return;
      seen.add(port.name);
      if (!server || isAdopted || !port.busy()) return;
      const sinceMs = nowMs();
      found.set(port.name, sinceMs);
      server.running++;
      watch(port, server, sinceMs);
    },
    list: () => found,
    close() {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
