/**
 * Keeps one long-lived tool running and hands on each piece of its output. It starts again a tool
 * that ended, with back-off, and one that fell silent. One process at a time: a tool that hangs in
 * the driver cannot be killed, and a second one would hang beside it.
 */
import type { Clock } from "../../clock.ts";
import { type Child, type ChildEnd, describeEnd, type Environment, startChild } from "./child.ts";
import type { ProbeLimits } from "./probe.ts";
import { createSplitter } from "./splitter.ts";

export interface LoopOptions {
  readonly argv: readonly string[];
  readonly env: Environment;
  readonly clock: Clock;
  readonly limits: ProbeLimits;
  readonly staleMs: number;
  /** Pause before the next start of a tool that ended well. */
  readonly pauseMs: number;
  /** Text that ends a piece. */
  readonly endMark: string;
  /** Whether the piece was usable. The look behind it began no earlier than `sinceMs`. */
  onPiece(text: string, sinceMs: number): boolean;
  onTrouble(trouble: Trouble, sinceMs: number): void;
}

export interface Trouble {
  readonly installed: boolean;
  readonly reason: string;
}

export interface Source {
  /** Someone waits: do not sit out a pause. */
  hurry(): void;
  close(): Promise<void>;
}

const MAX_PIECE = 8 * 1024 * 1024;

export function startLoop(options: LoopOptions): Source {
  const { argv, env, clock, limits, staleMs, endMark } = options;
  let closed = false;
  let child: Child | undefined;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let restart: ReturnType<typeof setTimeout> | undefined;
  let pausing = false;
  let backOffMs = limits.backOffMs;

  const watch = (limitMs: number, silent: () => void): void => {
    clearTimeout(silence);
    if (!closed) silence = setTimeout(silent, limitMs);
  };

  const again = (delayMs: number): void => {
    if (!closed) restart = setTimeout(start, delayMs);
  };

  function start(): void {
    pausing = false;
    const splitter = createSplitter(endMark, MAX_PIECE);
    let sinceMs = clock.monotonicMs();
    let usable = 0;
    let hung = false;
    const fellSilent = (): void => {
      hung = true;
      const limitMs = usable === 0 ? Math.max(limits.firstMs, staleMs) : staleMs;
      const reason = `\`${argv.join(" ")}\` printed nothing usable for ${limitMs} ms; it is killed and started again`;
      options.onTrouble({ installed: true, reason }, clock.monotonicMs());
      void mine.stop(0);
    };
    const take = (piece: string, since: number): void => {
      if (closed || hung || !options.onPiece(piece, since)) return;
      usable++;
      backOffMs = limits.backOffMs;
      watch(staleMs, fellSilent);
    };
    const mine = startChild(argv, env, (text) => {
      // All of one chunk were measured before any of it arrived.
      const since = sinceMs;
      const pieces = splitter.push(text);
      for (const piece of pieces) take(piece, since);
      if (pieces.length > 0) sinceMs = clock.monotonicMs();
    });
    child = mine;
    watch(Math.max(limits.firstMs, staleMs), fellSilent);
    void mine.ended.then((end) => {
      clearTimeout(silence);
      const rest = splitter.rest();
      if (endMark === "\n" && rest.trim() !== "") take(rest, sinceMs);
      clearTimeout(silence);
      child = undefined;
      // What the tool's own children still hold open would otherwise live on.
      void mine.stop(0);
      ended(end, `${mine.errorText()} ${rest.slice(-400)}`, usable > 0, hung);
    });
  }

  function ended(end: ChildEnd, output: string, usable: boolean, hung: boolean): void {
    if (closed) return;
    if (usable && end.code === 0 && !hung) {
      pausing = true;
      again(options.pauseMs);
      return;
    }
    const trouble = describeEnd(argv, end, output);
    if (!hung) options.onTrouble(trouble, clock.monotonicMs());
    // Nobody installs a driver within seconds.
    again(trouble.installed ? backOffMs : limits.maxBackOffMs);
    backOffMs = Math.min(backOffMs * 2, limits.maxBackOffMs);
  }

  start();
  return {
    hurry() {
      if (!pausing || closed) return;
      clearTimeout(restart);
      start();
    },
    async close() {
      closed = true;
      clearTimeout(silence);
      clearTimeout(restart);
      await child?.stop();
    },
  };
}
