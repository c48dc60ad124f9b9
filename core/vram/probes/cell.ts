/**
 * The newest state of one device, and everybody who waits for a newer one. What measures (a loop,
 * a poll, a folder) publishes into it; it alone is the `Probe` that the ledger holds.
 */
import type { Clock } from "../../clock.ts";
import { type Log, messageOf } from "../../log.ts";
import { type DeviceReading, type Probe, ProbeError, type ProbeState } from "./probe.ts";

/** The reason of a device that is only declared: the ledger trusts itself. */
export const NO_PROBE = "no probe";

/** The reason before the first answer. */
export const NOT_YET = "nothing was measured yet";

export interface CellOptions {
  readonly device: string;
  readonly kind: Probe["kind"];
  readonly staleMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Cell {
  readonly device: string;
  readonly probe: Probe;
  /** `sinceMs`: the look began no earlier than this, so it answers whoever asked before. */
  publish(state: ProbeState, sinceMs: number): void;
  /** What measures connects here: how to look sooner, and how to end. */
  connect(source: { hurry(): void; close(): Promise<void> }): void;
}

interface Waiter {
  readonly askedMs: number;
  settle(state: ProbeState): void;
}

export function createCell({ device, kind, staleMs, clock, log }: CellOptions): Cell {
  let newest: ProbeState = { kind: "missing", reason: NOT_YET };
  let said: string | undefined;
  let closing: Promise<void> | undefined;
  let source: Parameters<Cell["connect"]>[0] | undefined;
  const listeners = new Set<() => void>();
  const waiters = new Set<Waiter>();

  const report = (state: ProbeState): void => {
    const reason = state.kind === "missing" ? state.reason : undefined;
    // Nothing to report of a device that the operator declared without a probe.
    if (reason === said || reason === NO_PROBE) return;
    said = reason;
    if (reason === undefined) log.info("the device is measured again", { device, probe: kind });
    else log.warn("the device cannot be measured", { device, probe: kind, reason });
  };

  const probe: Probe = {
    kind,
    state() {
      if (newest.kind === "missing") return newest;
      const ageMs = clock.monotonicMs() - newest.reading.atMs;
      if (ageMs <= staleMs) return newest;
      const reason = `the newest reading is ${seconds(ageMs)} s old, believed are ${seconds(staleMs)} s`;
      return { kind: "missing", reason };
    },
    fresh(signal) {
      if (signal.aborted) return Promise.reject(signal.reason);
      if (closing !== undefined) return Promise.reject(new ProbeError(`${kind} probe is closed`));
      if (kind === "declared") return Promise.reject(new ProbeError(reasonOf(newest)));
      return new Promise<DeviceReading>((resolve, reject) => {
        const forget = (): void => {
          waiters.delete(waiter);
          signal.removeEventListener("abort", abort);
        };
        const abort = (): void => {
          forget();
          reject(signal.reason);
        };
        const waiter: Waiter = {
          askedMs: clock.monotonicMs(),
          settle(state) {
            forget();
            if (state.kind === "reading") resolve(state.reading);
            else reject(new ProbeError(`${device}: ${state.reason}`));
          },
        };
        waiters.add(waiter);
        signal.addEventListener("abort", abort, { once: true });
        source?.hurry();
      });
    },
    onChange(listener) {
      // A function of its own, so that the same listener twice is two.
      const own = (): void => listener();
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    close() {
      closing ??= (async () => {
        const state: ProbeState = { kind: "missing", reason: "the probe is closed" };
        newest = state;
        listeners.clear();
        for (const waiter of [...waiters]) waiter.settle(state);
        await source?.close();
      })();
      return closing;
    },
  };

  return {
    device,
    probe,
    connect(it) {
      source = it;
      if (closing !== undefined) void it.close();
    },
    publish(state, sinceMs) {
      if (closing !== undefined) return;
      newest = state;
      report(state);
      for (const waiter of [...waiters]) if (sinceMs >= waiter.askedMs) waiter.settle(state);
      for (const listener of [...listeners]) {
        try {
          listener();
        } catch (error) {
          log.error("a listener of a probe failed", { device, error: messageOf(error) });
        }
      }
    },
  };
}

function reasonOf(state: ProbeState): string {
  return state.kind === "missing" ? state.reason : "";
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}
