/** A data folder, a supervisor over real processes, and a look at what is really alive. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemClock } from "../../../core/clock.ts";
import { silentLog } from "../../../core/log.ts";
import {
  createSupervisor,
  type ProcessSettings,
  type ProcessState,
  type Supervisor,
  type SupervisorOptions,
} from "../../../core/processes/mod.ts";

export const FIXTURES = resolve(import.meta.dir, "../../fixtures/processes");
export const SCRIPT = join(FIXTURES, "backend.sh");
export const ON_LINUX = process.platform === "linux";

export type Mood =
  | "serve"
  | "family"
  | "stubborn"
  | "crash"
  | "mendable"
  | "leaves"
  | "slow"
  | "environment"
  | "loud";

export interface World {
  readonly folder: string;
  /** Every state that was entered, in order. */
  readonly states: ProcessState[];
  settings(
    mood: Mood,
    more?: Partial<ProcessSettings>,
    env?: Record<string, string>,
  ): ProcessSettings;
  /** A supervisor of backend `sd`, as a gateway would make one; several are several gateways. */
  supervise(
    settings: ProcessSettings | Readonly<Record<string, ProcessSettings>>,
    more?: Partial<SupervisorOptions>,
  ): Supervisor;
  /** The pids that carry this world's folder in their command line or environment, alive. */
  alive(): number[];
  /** How often the script was started. */
  starts(): number;
  file(name: string): string;
  remove(): void;
}

export const signal = (): AbortSignal => AbortSignal.timeout(20_000);

/** SIGKILL, and never to 0 or -1, which would be the tests themselves or everybody. */
export function kill(pid: number | undefined): void {
  if (!(Number(pid) > 1)) throw new Error(`${pid} is nobody's pid`);
  process.kill(Number(pid), "SIGKILL");
}

/** Alive and no zombie. */
export function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

export function createWorld(): World {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-processes-"));
  const states: ProcessState[] = [];
  const file = (name: string): string => {
    const path = join(folder, name);
    return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  };
  const health = (): Promise<{ ready: boolean }> => {
    const pid = Number(file("ready"));
    return Promise.resolve({ ready: pid > 0 && lives(pid) });
  };
  const world: World = {
    folder,
    states,
    file,
    settings(mood, more = {}, env = {}) {
      return {
        run: {
          kind: "command",
          argv: ["/bin/sh", SCRIPT, mood, folder],
          env: { TEST_FOLDER: folder, ...env },
        },
        start: "on_demand",
        readyTimeoutMs: 10_000,
        stopTimeoutMs: 5_000,
        stopWithGateway: true,
        maxRestarts: 3,
        restartWindowMs: 60_000,
        ...more,
      };
    },
    supervise(settings, more = {}) {
      const several = "run" in settings ? { sd: settings as ProcessSettings } : settings;
      const supervisor = createSupervisor({
        folder,
        clock: systemClock,
        log: silentLog,
        settings: several as Readonly<Record<string, ProcessSettings>>,
        health,
        random: () => 0.5,
        timing: { watchMs: 40, readyPollMs: 20, firstBackoffMs: 50, maxBackoffMs: 1_000 },
        ...more,
      });
      supervisor.onChange((_, state) => states.push(state));
      return supervisor;
    },
    alive() {
      return readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
        .map(Number)
        .filter((pid) => lives(pid) && mentions(pid, folder));
    },
    starts: () => file("starts").split("\n").filter(Boolean).length,
    remove() {
      for (const pid of world.alive()) process.kill(pid, "SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
}

/** The children's command lines name the folder; their environment does too. */
function mentions(pid: number, folder: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "latin1");
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
    return command.includes(folder) || environment.includes(folder);
  } catch {
    return false;
  }
}
