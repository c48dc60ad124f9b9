/**
 * Work that a gateway left behind when it died: its backend still computes, and nobody here knows
 * the job any more. Until the backend says that it is idle one of its slots stays taken.
 */
import type { Server } from "./ledger.ts";
import type { BackendPort } from "./ports.ts";
import type { Roster } from "./roster.ts";

export interface Orphans {
  /** Looks at every backend once; `isAdopted` says whose work a job of ours takes up again. */
  start(isAdopted: (backend: string) => boolean): Promise<void>;
  /** Backends that compute for nobody we know, with the monotonic time of the first look. */
  list(): ReadonlyMap<string, number>;
  close(): void;
}

export interface OrphansOptions {
  readonly backends: readonly BackendPort[];
  readonly roster: Roster;
  readonly nowMs: () => number;
  readonly reconsider: () => void;
}

const POLL_MS = 2_000;
/** A backend that says for longer than this that it computes does so for somebody else. */
const LIMIT_MS = 10 * 60_000;

export function createOrphans({ backends, roster, nowMs, reconsider }: OrphansOptions): Orphans {
  const found = new Map<string, number>();
  const timers = new Set<ReturnType<typeof setTimeout>>();

  async function isBusy(port: BackendPort): Promise<boolean> {
    return port.usable() && (await port.busy()) === true;
  }

  function watch(port: BackendPort, server: Server, sinceMs: number): void {
    const timer = setTimeout(async () => {
      timers.delete(timer);
      const isOld = nowMs() - sinceMs > LIMIT_MS;
      if (!isOld && (await isBusy(port))) return watch(port, server, sinceMs);
      found.delete(port.name);
      server.running--;
      reconsider();
    }, POLL_MS);
    timer.unref();
    timers.add(timer);
  }

  return {
    async start(isAdopted) {
      await Promise.all(
        backends.map(async (port) => {
          const server = roster.servers.get(port.name);
          if (!server || isAdopted(port.name) || !(await isBusy(port))) return;
          const sinceMs = nowMs();
          found.set(port.name, sinceMs);
          server.running++;
          watch(port, server, sinceMs);
        }),
      );
    },
    list: () => found,
    close() {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
