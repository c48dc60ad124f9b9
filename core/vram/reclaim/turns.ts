/**
 * Who may reclaim at the same time. What is measured for one must not be what another makes leave:
 * a backend has one reclaim at a time, and where only the whole device can be measured, so has the
 * device.
 */

export interface Turn {
  /** Something else went first, so that what was measured before is old. */
  readonly waited: boolean;
  /** Lets the next one in; harmless when called twice. */
  end(): void;
}

export interface Turns {
  /** In order of asking. Rejects with the signal's reason. */
  take(name: string, kind: "shared" | "alone", signal: AbortSignal): Promise<Turn>;
}

interface Waiter {
  readonly alone: boolean;
  enter(): void;
}

interface Line {
  inside: number;
  /** The one inside shares with nobody. */
  closed: boolean;
  readonly waiting: Waiter[];
}

export function createTurns(): Turns {
  const lines = new Map<string, Line>();

  function admit(name: string, line: Line): void {
    for (let next = line.waiting[0]; next; next = line.waiting[0]) {
      if (line.inside > 0 && (line.closed || next.alone)) return;
      line.waiting.shift();
      line.inside++;
      line.closed = next.alone;
      next.enter();
    }
    if (line.inside === 0) lines.delete(name);
  }

  return {
    async take(name, kind, signal) {
      signal.throwIfAborted();
      const line = lines.get(name) ?? { inside: 0, closed: false, waiting: [] };
      lines.set(name, line);
      const alone = kind === "alone";
      const waited = line.waiting.length > 0 || (line.inside > 0 && (line.closed || alone));
      await new Promise<void>((resolve, reject) => {
        const waiter = { alone, enter };
        function enter(): void {
          signal.removeEventListener("abort", giveUp);
          resolve();
        }
        function giveUp(): void {
          line.waiting.splice(line.waiting.indexOf(waiter), 1);
          admit(name, line);
          reject(signal.reason);
        }
        signal.addEventListener("abort", giveUp, { once: true });
        line.waiting.push(waiter);
        admit(name, line);
      });
      let ended = false;
      return {
        waited,
        end() {
          if (ended) return;
          ended = true;
          line.inside--;
          admit(name, line);
        },
      };
    },
  };
}
