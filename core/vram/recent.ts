/** The newest loads and reclaims, for operators who ask what has just happened. */
import type { Bus, EventMap } from "../events/mod.ts";

type Type = "vram.loading" | "vram.loaded" | "vram.load_failed" | "vram.reclaimed";

export type Happened = {
  readonly [Each in Type]: {
    readonly type: Each;
    /** Wall-clock milliseconds. */
    readonly atMs: number;
    readonly event: EventMap[Each];
  };
}[Type];

export interface Recent {
  /** Oldest first. */
  list(): readonly Happened[];
  close(): void;
}

const KEPT = 100;

export function createRecent(bus: Bus, nowMs: () => number): Recent {
  const kept: Happened[] = [];
  const keep = (happened: Happened): void => {
    kept.push(happened);
    if (kept.length > KEPT) kept.shift();
  };
  const leave = [
    bus.on("vram.loading", (event) => keep({ type: "vram.loading", atMs: nowMs(), event })),
    bus.on("vram.loaded", (event) => keep({ type: "vram.loaded", atMs: nowMs(), event })),
    bus.on("vram.load_failed", (event) => keep({ type: "vram.load_failed", atMs: nowMs(), event })),
    bus.on("vram.reclaimed", (event) => keep({ type: "vram.reclaimed", atMs: nowMs(), event })),
  ];
  return {
    list: () => kept,
    close() {
      for (const each of leave) each();
    },
  };
}
