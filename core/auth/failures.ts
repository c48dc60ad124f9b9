/** Counts wrong keys per peer address: past the limit a peer gets 429, which costs it time. */
import type { Clock } from "../clock.ts";

export interface Failures {
  /** Milliseconds until this peer may fail again; 0 when it may now. */
  blockedForMs(peer: string): number;
  add(peer: string): void;
}

const WINDOW_MS = 60_000;

/** `perMinute` 0: no limit. */
export function createFailures(clock: Clock, perMinute: number, maxPeers = 10_000): Failures {
  const windows = new Map<string, { count: number; readonly startedAtMs: number }>();

  function current(peer: string) {
    const window = windows.get(peer);
    if (window && clock.monotonicMs() - window.startedAtMs < WINDOW_MS) return window;
    windows.delete(peer);
    return undefined;
  }

  return {
    blockedForMs(peer) {
      const window = current(peer);
      if (perMinute === 0 || !window || window.count < perMinute) return 0;
      return WINDOW_MS - (clock.monotonicMs() - window.startedAtMs);
    },
    add(peer) {
      const window = current(peer);
      if (window) {
        window.count += 1;
        return;
      }
      // The map keeps the order of arrival, so the first is the window that ends first.
      const [oldest] = windows.size >= maxPeers ? windows.keys() : [];
      if (oldest !== undefined) windows.delete(oldest);
      windows.set(peer, { count: 1, startedAtMs: clock.monotonicMs() });
    },
  };
}
