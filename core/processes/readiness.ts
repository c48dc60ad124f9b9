/**
 * Waits until a process is ready: health says so AND what answers is ours. Health alone is not
 * enough, since another program may sit on the port while our child fails to bind it.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../clock.ts";
import { messageOf } from "../log.ts";
import type { Driver } from "./driver.ts";
import { holdersOf } from "./listeners.ts";
import { exitInWords, ProcessError } from "./state.ts";
import { aborted } from "./waiting.ts";

export interface HealthAnswer {
  readonly ready: boolean;
  readonly reason?: string;
}

export interface ReadinessOptions {
  readonly backend: string;
  readonly driver: Driver;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly pollMs: number;
  /** Where it should listen; undefined when that is not known. */
  readonly port: number | undefined;
  health(signal: AbortSignal): Promise<HealthAnswer>;
  /** Resolves at the next end that the driver sees by itself. */
  exitSeen(): Promise<void>;
}

/** A health call that hangs is no answer. */
const HEALTH_LIMIT_MS = 5_000;
/** Before a start, when a refused connection answers at once. */
const TAKEN_LIMIT_MS = 1_500;

/** Refuses to start beside a program that already answers there: it would pass for ours. */
export async function refuseTaken(options: ReadinessOptions, signal: AbortSignal): Promise<void> {
  const { backend, port } = options;
  const answer = await asked(options, signal, TAKEN_LIMIT_MS);
  signal.throwIfAborted();
  if (!answer.ready) return;
  const where = port === undefined ? "at its address" : `on port ${port}`;
  const text = `${backend} was not started: another program already answers ${where}, and the gateway did not start it. Stop it, or change the backend's url.`;
  throw new ProcessError("taken", text);
}

/** Settles when it is ready; rejects with ProcessError, or with the signal's reason. */
export async function untilReady(options: ReadinessOptions, signal: AbortSignal): Promise<void> {
  const { backend, driver, clock, timeoutMs, pollMs } = options;
  const until = clock.monotonicMs() + timeoutMs;
  const cut = aborted(signal);
  let reason = "no answer yet";
  for (;;) {
    signal.throwIfAborted();
    await refuseGone(options);
    const leftMs = until - clock.monotonicMs();
    if (leftMs <= 0) {
      const text = `${backend} runs, and was not ready within ${timeoutMs} ms (${reason}). Read its log, or raise process.ready_timeout_ms.`;
      throw new ProcessError("not_ready", text, { lastLines: await driver.lastLines(20) });
    }
    const answer = await asked(options, signal, Math.min(leftMs, HEALTH_LIMIT_MS));
    if (answer.ready) {
      // Looked at again: it may have ended while somebody else answered.
      await refuseGone(options);
      const stranger = await strangerOn(options);
      if (stranger === undefined) return;
      reason = stranger;
    } else {
      reason = answer.reason ?? reason;
    }
    await Promise.race([delay(Math.min(pollMs, leftMs)), options.exitSeen(), cut]);
  }
}

async function refuseGone({ backend, driver }: ReadinessOptions): Promise<void> {
  const sight = await driver.look();
  if (sight.kind === "running") return;
  const text = `${backend} ${exitInWords(sight.exit)} before it was ready. Read its log.`;
  throw new ProcessError("exited", text, {
    exit: sight.exit,
    lastLines: await driver.lastLines(20),
  });
}

/** Who holds the port, when that can be known and it is nobody of ours. */
async function strangerOn({ driver, port }: ReadinessOptions): Promise<string | undefined> {
  if (port === undefined || !driver.holdsPort) return undefined;
  const holders = await holdersOf(port);
  if (holders.length === 0) return undefined;
  const ours = new Set(await driver.pids());
  if (holders.some((pid) => ours.has(pid))) return undefined;
  return `port ${port} is answered by process ${holders.join(", ")}, which is not ours`;
}

async function asked(
  { health }: ReadinessOptions,
  signal: AbortSignal,
  limitMs: number,
): Promise<HealthAnswer> {
  const limit = AbortSignal.timeout(Math.ceil(limitMs));
  const both = AbortSignal.any([signal, limit]);
  try {
    return await Promise.race([health(both), aborted(both)]).then(
      (answer) => answer ?? { ready: false, reason: "the health check gave no answer in time" },
    );
  } catch (error) {
    return { ready: false, reason: messageOf(error) };
  }
}
