/** Processes that compute for a backend beside its server: what `Context.owns` was told of. */
import { lookUp } from "../sdk/processes/table.ts";

export interface Owned {
  /** As `Context.owns`. */
  add(pid: number): () => void;
  /** Those that were told of, are alive, and were not taken back. */
  pids(): readonly number[];
  /** Calls back after every change. */
  onChange(listener: () => void): void;
}

export function createOwned(): Owned {
  // By call and not by number: two runs may speak of one process.
  const told = new Map<symbol, { readonly pid: number; readonly startedAt: string | undefined }>();
  const listeners: (() => void)[] = [];
  const changed = () => {
    for (const listener of listeners) listener();
  };
  return {
    add(pid) {
      // 0 and below are groups in a signal, 1 is the system: neither is anybody's own.
      if (!Number.isSafeInteger(pid) || pid <= 1) throw new Error(`${pid} is no process to own`);
      const call = Symbol(pid);
      told.set(call, { pid, startedAt: lookUp(pid)?.startedAt });
      changed();
      return () => {
        if (told.delete(call)) changed();
      };
    },
    pids() {
      // A number that was given away again is a stranger's.
      const alive = [...told.values()].filter(({ pid, startedAt }) => {
        const seen = lookUp(pid);
        return seen?.alive && seen.startedAt === startedAt;
      });
      return [...new Set(alive.map(({ pid }) => pid))];
    },
    onChange: (listener) => void listeners.push(listener),
  };
}
