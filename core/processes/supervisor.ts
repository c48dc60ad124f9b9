/** The processes of all backends: made from the settings, recovered, watched and closed together. */
import { createHash } from "node:crypto";
import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { type Log, messageOf } from "../log.ts";
import { markersOf } from "../sdk/processes/members.ts";
import { createChild } from "./child.ts";
import type { Driver } from "./driver.ts";
import { createLifecycle, type Lifecycle, type Timing } from "./lifecycle.ts";
import { LOG_LIMIT_BYTES } from "./log-file.ts";
import type { HealthAnswer } from "./readiness.ts";
import { createRecords, type ProcessRecord } from "./record.ts";
import {
  BACKEND_NAME,
  fingerprintOf,
  mistakeIn,
  type ProcessSettings,
  type Run,
} from "./settings.ts";
import type { ProcessState, Supervised } from "./state.ts";
import { createToolDriver } from "./tool-driver.ts";

export interface Supervisor {
  get(backend: string): Supervised | undefined;
  readonly all: readonly Supervised[];
  /**
   * Adopts what a dead gateway left, ends what is configured no longer, and begins to start what is
   * `always` up. Settles before those are ready. Call it once, before anything else is started.
   */
  recover(): Promise<void>;
  /** Whether the backend has work: an idle one may be stopped. */
  busy(backend: string, busy: boolean): void;
  onChange(listener: (backend: string, state: ProcessState) => void): () => void;
  /** The gateway stops: processes end, unless `stopWithGateway` is false. */
  close(): Promise<void>;
}

export interface SupervisorOptions {
  /** The data folder; logs and records go to `processes` in it. */
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: Readonly<Record<string, ProcessSettings>>;
  health(backend: string, signal: AbortSignal): Promise<HealthAnswer>;
  /** Where the backend should listen on this machine, for the check of who answers. */
  readonly port?: (backend: string) => number | undefined;
  readonly random: () => number;
  /** The gateway's environment, of which a child gets the names on a list. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timing?: Partial<Timing>;
  readonly logLimitBytes?: number;
}

const TIMING: Timing = {
  watchMs: 1_000,
  readyPollMs: 250,
  firstBackoffMs: 1_000,
  maxBackoffMs: 60_000,
};
const TOOL_WATCH_FACTOR = 3;
/** For what an earlier gateway started, where its record is lost. */
const STOP_TIMEOUT_MS = 10_000;
const READY_TIMEOUT_MS = 60_000;

/** Throws TypeError when a setting has the wrong shape. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { clock, log, settings, random } = options;
  const folder = join(options.folder, "processes");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const place = createHash("sha256").update(realpathSync(folder)).digest("hex").slice(0, 16);
  const records = createRecords(folder);
  const listeners = new Set<(backend: string, state: ProcessState) => void>();

  const lives = new Map<string, Lifecycle>();
  for (const [backend, its] of Object.entries(settings)) {
    const mistake = mistakeIn(backend, its.run);
    if (mistake !== undefined) throw new TypeError(`backends.${backend}.process: ${mistake}`);
    lives.set(
      backend,
      createLifecycle({
        backend,
        settings: its,
        driver: driverFor(backend, its.run, its.readyTimeoutMs, its.stopTimeoutMs),
        timing: timingFor(its.run),
        clock,
        log,
        random,
        port: options.port?.(backend),
        health: (signal) => options.health(backend, signal),
        changed: (state) => tell(backend, state),
      }),
    );
  }

  /** A look at a unit or a container runs a command. */
  function timingFor({ kind }: Run): Timing {
    const timing = { ...TIMING, ...options.timing };
    return kind === "command" ? timing : { ...timing, watchMs: timing.watchMs * TOOL_WATCH_FACTOR };
  }

  function driverFor(backend: string, run: Run, readyTimeoutMs: number, stopMs: number): Driver {
    const stopTimeoutMs = stopMs;
    if (run.kind !== "command") {
      return createToolDriver({ backend, run, readyTimeoutMs, stopTimeoutMs, records });
    }
    const env = options.env ?? process.env;
    const logLimitBytes = options.logLimitBytes ?? LOG_LIMIT_BYTES;
    const paths = { folder, place, records };
    return createChild({ backend, run, stopTimeoutMs, clock, env, logLimitBytes, ...paths });
  }

  function tell(backend: string, state: ProcessState): void {
    for (const listener of listeners) {
      try {
        listener(backend, state);
      } catch (error) {
        log.error("a listener of process states failed", { backend, error: messageOf(error) });
      }
    }
  }

  /** Ends what runs under a name or as a thing that the configuration does not have any more. */
  async function endStale(backend: string, record: ProcessRecord | undefined): Promise<void> {
    const now = settings[backend]?.run;
    if (record?.kind === "tool") {
      if (now && fingerprintOf(now) === record.fingerprint) return;
      await driverFor(backend, record.run, READY_TIMEOUT_MS, STOP_TIMEOUT_MS).end();
      records.remove(backend);
    }
    // A command that is still configured is compared when it is adopted.
    if (now?.kind === "command") return;
    const stopMs = record?.kind === "command" ? record.stopTimeoutMs : STOP_TIMEOUT_MS;
    // No command has this fingerprint, so that all that is found of it ends.
    const nobody: Run = { kind: "command", argv: [], env: {} };
    if (record?.kind !== "tool") await driverFor(backend, nobody, READY_TIMEOUT_MS, stopMs).adopt();
  }

  const attempt = (what: string, backend: string, work: Promise<void>): Promise<void> =>
    work.catch((error) => log.error(what, { backend, error: messageOf(error) }));

  return {
    get: (backend) => lives.get(backend),
    all: [...lives.values()],
    async recover() {
      const marked = [
        ...(await markersOf({ variable: "SWITCHYARD_PROCESS", value: `${place}/` })).keys(),
      ]
        .map((marker) => marker.split("/")[1] ?? "")
        .filter((name) => BACKEND_NAME.test(name));
      const names = new Set([...records.names(), ...marked]);
      await Promise.all(
        [...names].map((name) =>
          attempt("a process was not ended", name, endStale(name, records.read(name))),
        ),
      );
      await Promise.all(
        [...lives].map(([name, life]) => attempt("a process was not adopted", name, life.adopt())),
      );
    },
    busy: (backend, busy) => lives.get(backend)?.busy(busy),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      await Promise.all(
        [...lives].map(([name, life]) => attempt("a process was not ended", name, life.close())),
      );
    },
  };
}
