/** Looks again and again, for tools that print once: a pause between looks, a longer one after failures. */

import { describeEnd, type Environment, startChild } from "./child.ts";
import type { Source, Trouble } from "./loop.ts";
import type { ProbeLimits } from "./probe.ts";

/** True when the look succeeded, otherwise what went wrong was reported by the look itself. */
export type Look = (signal: AbortSignal) => Promise<boolean>;

export function startPolling(look: Look, intervalMs: number, limits: ProbeLimits): Source {
  const ending = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | undefined;
  let wanted = false;
  let pauseMs = intervalMs;

  const go = (): void => {
    clearTimeout(timer);
    wanted = false;
    running = look(ending.signal).then((good) => {
      running = undefined;
      if (ending.signal.aborted) return;
      pauseMs = good
        ? intervalMs
        : Math.min(Math.max(pauseMs * 2, intervalMs), limits.maxBackOffMs);
      if (wanted) go();
      else timer = setTimeout(go, pauseMs);
    });
  };
  go();
  return {
    hurry() {
      if (ending.signal.aborted) return;
      // A look under way began before the question; the next one answers it.
      if (running === undefined) go();
      else wanted = true;
    },
    async close() {
      ending.abort();
      clearTimeout(timer);
      await running;
    },
  };
}

export type Printed =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "trouble"; readonly trouble: Trouble };

const MAX_OUTPUT = 4 * 1024 * 1024;

/** Runs a tool once; whatever it printed after code 0, within limits of time and size. */
export async function runOnce(
  argv: readonly string[],
  env: Environment,
  limitMs: number,
  signal: AbortSignal,
): Promise<Printed> {
  let text = "";
  const child = startChild(argv, env, (chunk) => {
    if (text.length < MAX_OUTPUT) text += chunk;
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void child.stop(0);
  }, limitMs);
  const abort = (): void => void child.stop();
  signal.addEventListener("abort", abort, { once: true });
  const end = await child.ended;
  clearTimeout(timer);
  signal.removeEventListener("abort", abort);
  if (end.code === 0) return { kind: "text", text };
  if (late) {
    const reason = `\`${argv.join(" ")}\` did not end within ${limitMs} ms and was killed`;
    return { kind: "trouble", trouble: { installed: true, reason } };
  }
  const output = `${child.errorText()} ${text.slice(0, 400)}`;
  return { kind: "trouble", trouble: describeEnd(argv, end, output) };
}
