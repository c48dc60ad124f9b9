/**
 * One execution of a job as the plugin sees it: the `Job` object. Progress and text are thinned out
 * before they get a number in the event log, so that nothing has to be thinned after it.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import { type Log, messageOf } from "../log.ts";
import { BackendError } from "../sdk/errors.ts";
import { AUDIO_FORMATS } from "../sdk/formats.ts";
import type { Job } from "../sdk/job.ts";
import type { Change, Entry } from "./changes.ts";
import type { ArtifactsPort, FilesPort } from "./ports.ts";
import type { Previews } from "./previews.ts";
import type { JobRow } from "./row.ts";
import type { JobStore } from "./store.ts";

/** Shortest time between two progress events, and between two previews, of one job. */
const PROGRESS_INTERVAL_MS = 500;
/** Text that arrives within this time becomes one event. */
const DELTA_INTERVAL_MS = 20;

export interface Attempt {
  readonly job: Job;
  /** Monotonic milliseconds of the last sign of life. */
  readonly lastActiveMs: number;
  /** What the attempt has stored so far, as clients read it. */
  readonly artifacts: readonly Record<string, unknown>[];
  /** Writes what is still held back; to be called before the attempt's end is written. */
  finish(): void;
  /** Asks the backend to stop, once. */
  stop(): Promise<void>;
}

export interface AttemptPorts {
  readonly store: JobStore;
  readonly artifacts: ArtifactsPort;
  /** Absent where no request brings files. */
  readonly files?: Pick<FilesPort, "open">;
  readonly previews: Previews;
  readonly clock: Clock;
  readonly log: Log;
  readonly publish: (change: Change) => void;
}

export function createAttempt(row: JobRow, signal: AbortSignal, ports: AttemptPorts): Attempt {
  const { store, artifacts, previews, clock, log } = ports;
  const { id, epoch } = row;
  const stops: (() => Promise<unknown>)[] = [];
  let lastActiveMs = clock.monotonicMs();
  let fraction = 0;
  let over = false;

  const active = () => {
    lastActiveMs = clock.monotonicMs();
  };

  function append(entry: Entry): void {
    // Asynchronous, so that a report that is no JSON fails here and not in the plugin's timer.
    (async () => store.append(id, epoch, entry))().then(
      (change) => change && ports.publish(change),
      (error) => log.warn("an event was not stored", { job: id, error: messageOf(error) }),
    );
  }

  const progress = spaced(PROGRESS_INTERVAL_MS, clock, (latest: JobRow["progress"]) =>
    append({ type: "job.progress", data: { ...latest }, progress: latest }),
  );
  const preview = spaced(PROGRESS_INTERVAL_MS, clock, (mediaType: string) =>
    append({
      type: "job.preview",
      data: { preview_url: `/jobs/${id}/preview`, media_type: mediaType },
    }),
  );
  let text = "";
  const delta = spaced(DELTA_INTERVAL_MS, clock, () => {
    append({ type: "job.delta", data: { text } });
    text = "";
  });
  let collecting = false;
  const stored: Record<string, unknown>[] = [];

  const job: Job = {
    id,
    attempt: epoch,
    input: row.input,
    signal,
    progress(value, note) {
      active();
      if (signal.aborted) return;
      if (value !== undefined) fraction = Math.max(fraction, Math.min(1, value));
      progress.push({ value: value === undefined ? null : fraction, ...(note ? { note } : {}) });
    },
    emit(piece) {
      active();
      if (signal.aborted || piece === "") return;
      text += piece;
      delta.push(undefined);
    },
    preview(image, mediaType) {
      active();
      // After its end nobody would remove the picture again.
      if (over || signal.aborted) return;
      if (previews.put(id, { image, mediaType })) preview.push(mediaType);
    },
    async file({ artifact_id }) {
      const found = ports.files?.open(artifact_id, { id, keyId: row.keyId });
      if (found) return found;
      throw new BackendError("BACKEND_REJECTED", `The file ${artifact_id} is not there any more`);
    },
    async artifact(body, options) {
      active();
      signal.throwIfAborted();
      if (!collecting) {
        collecting = true;
        append({ type: "job.phase", data: { phase: "collecting" }, phase: "collecting" });
      }
      // The row decides: the signal follows the commit of a cancel only later.
      const fence = () => !signal.aborted && store.isCurrent(id, epoch);
      const format = AUDIO_FORMATS.find((name) => name === row.input.format);
      const artifact = await artifacts.put({
        jobId: id,
        keyId: row.keyId,
        body,
        options,
        signal,
        fence,
        format,
        converting: () => progress.push({ value: fraction || null, note: `making ${format}` }),
      });
      active();
      stored.push(artifacts.wire(artifact));
      return artifact;
    },
    async step(name, work) {
      const known = store.step(id, name);
      if (known) return known.value as Awaited<ReturnType<typeof work>>;
      const value = await work();
      active();
      if (!(await store.saveStep(id, epoch, name, value))) {
        signal.throwIfAborted();
        throw new GatewayError("CANCELLED", `Attempt ${epoch} of job ${id} is no longer current`);
      }
      return value;
    },
    onCancel(stop) {
      if (signal.aborted) void runStop(stop);
      else stops.push(stop);
    },
  };

  async function runStop(stop: () => Promise<unknown>): Promise<void> {
    try {
      await stop();
    } catch (error) {
      log.warn("the backend could not be told to stop", { job: id, error: messageOf(error) });
    }
  }

  return {
    job,
    artifacts: stored,
    get lastActiveMs() {
      return lastActiveMs;
    },
    finish() {
      over = true;
      delta.flush();
      progress.flush();
    },
    stop: async () => void (await Promise.all(stops.splice(0).map(runStop))),
  };
}

interface Spaced<T> {
  push(value: T): void;
  /** Sends what is held back, now. */
  flush(): void;
}

/** Sends the first value at once and then the newest one at most once per interval. */
function spaced<T>(intervalMs: number, clock: Clock, send: (value: T) => void): Spaced<T> {
  let held: { value: T } | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sentAtMs = Number.NEGATIVE_INFINITY;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (!held) return;
    const { value } = held;
    held = undefined;
    sentAtMs = clock.monotonicMs();
    send(value);
  }

  return {
    flush,
    push(value) {
      held = { value };
      const waitMs = sentAtMs + intervalMs - clock.monotonicMs();
      if (waitMs <= 0) flush();
      else timer ??= setTimeout(flush, waitMs);
    },
  };
}
