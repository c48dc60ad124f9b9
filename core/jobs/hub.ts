/**
 * Followers of a job's event log. A follower gets every event after the one it names, in order and
 * without a gap: first what the log holds, then what is committed from then on.
 */
import type { JobEvent } from "../events/mod.ts";

export interface Follower {
  /**
   * `json` is the event as clients read it, made once for all followers. False: the follower leaves
   * with this event, also in the middle of the log's part.
   */
  event(event: JobEvent, json: string): unknown;
  /** After the job's last event. */
  end(): void;
}

export interface Hub {
  /** Returns the unsubscribe. The log's part is delivered before this returns. */
  follow(jobId: string, after: number, follower: Follower): () => void;
  publish(event: JobEvent): void;
  readonly followers: number;
}

interface Subscription {
  readonly follower: Follower;
  seq: number;
  /** False once it has left: nothing more is delivered. */
  open: boolean;
}

const PAGE = 500;
const LAST_EVENTS = new Set(["job.completed", "job.failed", "job.cancelled"]);

export function isLastEvent(event: JobEvent): boolean {
  return LAST_EVENTS.has(event.type);
}

/** The event as it stands on SSE and WebSocket. */
export function eventToWire(event: JobEvent): Record<string, unknown> {
  return {
    type: event.type,
    seq: event.seq,
    job_id: event.jobId,
    data: event.data,
    timestamp: new Date(event.atMs).toISOString(),
  };
}

export function createHub(
  read: (jobId: string, after: number, limit: number) => readonly JobEvent[],
): Hub {
  const byJob = new Map<string, Set<Subscription>>();
  let followers = 0;

  function leave(jobId: string, subscription: Subscription): void {
    const subscriptions = byJob.get(jobId);
    if (!subscriptions?.delete(subscription)) return;
    subscription.open = false;
    followers--;
    if (subscriptions.size === 0) byJob.delete(jobId);
  }

  /** A follower that throws loses its place; the job and the other followers go on. */
  function deliver(jobId: string, to: Subscription, event: JobEvent, json: string): void {
    to.seq = event.seq;
    try {
      const wantsMore = to.follower.event(event, json) !== false;
      const isLast = isLastEvent(event);
      if (isLast || !wantsMore) leave(jobId, to);
      if (isLast && wantsMore) to.follower.end();
    } catch {
      leave(jobId, to);
    }
  }

  /** Delivers what the log holds beyond the subscription's place. */
  function catchUp(jobId: string, to: Subscription): void {
    for (;;) {
      const events = read(jobId, to.seq, PAGE);
      for (const event of events) {
        deliver(jobId, to, event, JSON.stringify(eventToWire(event)));
        if (!to.open) return;
      }
      if (events.length < PAGE) return;
    }
  }

  return {
    get followers() {
      return followers;
    },
    follow(jobId, after, follower) {
      const subscription: Subscription = { follower, seq: after, open: true };
      const subscriptions = byJob.get(jobId) ?? new Set();
      byJob.set(jobId, subscriptions);
      subscriptions.add(subscription);
      followers++;
      catchUp(jobId, subscription);
      return () => leave(jobId, subscription);
    },
    publish(event) {
      const subscriptions = byJob.get(event.jobId);
      if (!subscriptions) return;
      const json = JSON.stringify(eventToWire(event));
      for (const subscription of [...subscriptions]) {
        // An event may be committed, and read from the log, before it is published.
        if (!subscription.open || event.seq <= subscription.seq) continue;
        if (event.seq > subscription.seq + 1) catchUp(event.jobId, subscription);
        else deliver(event.jobId, subscription, event, json);
      }
    },
  };
}
