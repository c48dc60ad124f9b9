/** Processor time: of one process, and of everything that is not the benchmark. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";

/** The kernel's clock ticks of /proc are 100 a second on every Linux that Bun runs on. */
const TICK_MS = 10;

/** User and system milliseconds that the process has used so far. */
export function cpuMs(pid: number): number {
  const { user, system } = times(`/proc/${pid}/stat`);
  return user + system;
}

export interface Crowd {
  /** Share of all processors that other programs had, 0 to 1. */
  readonly others: number;
  /** Share that the virtual machine's host kept for itself. */
  readonly stolen: number;
}

/** Begins to watch; the returned function tells what happened since, once every child has ended. */
export function watchCrowd(): () => Crowd {
  const before = [machineTimes(), ownMs(), performance.now()] as const;
  return () => {
    const now = machineTimes();
    const capacityMs = (performance.now() - before[2]) * cpus().length;
    const busyMs = now.busyMs - before[0].busyMs - (ownMs() - before[1]);
    return {
      others: Math.max(0, busyMs / capacityMs),
      stolen: (now.stolenMs - before[0].stolenMs) / capacityMs,
    };
  };
}

/** This process and the children that have ended. */
function ownMs(): number {
  const { user, system, childUser, childSystem } = times("/proc/self/stat");
  return user + system + childUser + childSystem;
}

function machineTimes(): { busyMs: number; stolenMs: number } {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user, nice, system, , , irq, softIrq, stolen] = line
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) * TICK_MS);
  const busyMs = (user ?? 0) + (nice ?? 0) + (system ?? 0) + (irq ?? 0) + (softIrq ?? 0);
  return { busyMs, stolenMs: stolen ?? 0 };
}

function times(path: string) {
  const text = readFileSync(path, "utf8");
  // The program's name, in brackets, may hold spaces.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ms = (index: number) => Number(fields[index] ?? 0) * TICK_MS;
  return { user: ms(11), system: ms(12), childUser: ms(13), childSystem: ms(14) };
}
