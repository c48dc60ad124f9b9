/**
 * A job's events on a WebSocket: first a snapshot of the job, then its events. Close codes: 1000
 * after the last event, 1008 too many messages, 1012 the gateway stops, 1013 the reader is too
 * slow, 4401 the key was revoked. After 1012 and 1013 a client resumes with `?after=<seq>`.
 */
import type { ServerSocket, SocketHandlers } from "../http/route.ts";
import type { Hub } from "./hub.ts";
import type { JobWire } from "./schema.ts";

/** Messages that a client may send in one connection; it has nothing to say but `resume`. */
const MAX_MESSAGES = 100;

export interface SocketOptions {
  readonly hub: Hub;
  readonly keyId: string;
  /** The job as it is now; undefined when it has been removed. */
  readonly job: () => JobWire | undefined;
  /**
   * Number of the last event that the client has; undefined: only what comes after the snapshot.
   */
  readonly after: number | undefined;
}

export interface JobSockets {
  handlers(options: SocketOptions): SocketHandlers;
  readonly size: number;
  /** Closes the sockets of one key, or all of them. */
  close(code: number, reason: string, keyId?: string): void;
}

export function createJobSockets(): JobSockets {
  const open = new Map<ServerSocket, { readonly keyId: string; leave: () => void }>();

  function shut(socket: ServerSocket, code: number, reason: string): void {
    open.get(socket)?.leave();
    open.delete(socket);
    socket.close(code, reason);
  }

  function follow(socket: ServerSocket, options: SocketOptions, after: number | undefined): void {
    const job = options.job();
    if (!job) {
      shut(socket, 1000, "no such job");
      return;
    }
    const snapshot = { type: "snapshot", seq: job.seq, data: job };
    const entry = { keyId: options.keyId, leave: () => {} };
    open.get(socket)?.leave();
    open.set(socket, entry);
    socket.send(JSON.stringify(snapshot));
    let ended = false;
    const leave = options.hub.follow(job.job_id, Math.min(after ?? job.seq, job.seq), {
      event(_event, json) {
        if (socket.send(json)) return true;
        shut(socket, 1013, "too slow; resume with ?after=<seq>");
        return false;
      },
      end() {
        ended = true;
        shut(socket, 1000, "the job has ended");
      },
    });
    entry.leave = leave;
    if (ended || !open.has(socket)) leave();
    else if (["completed", "failed", "cancelled"].includes(job.status)) {
      shut(socket, 1000, "the job has ended");
    }
  }

  return {
    get size() {
      return open.size;
    },
    handlers(options) {
      let messages = 0;
      return {
        open: (socket) => follow(socket, options, options.after),
        message(socket, text) {
          if (++messages > MAX_MESSAGES) return shut(socket, 1008, "too many messages");
          const after = resumePoint(text);
          if (after !== undefined) follow(socket, options, after);
        },
        close(socket) {
          open.get(socket)?.leave();
          open.delete(socket);
        },
      };
    },
    close(code, reason, keyId) {
      for (const [socket, entry] of [...open]) {
        if (keyId === undefined || entry.keyId === keyId) shut(socket, code, reason);
      }
    },
  };
}

/** The `after` of `{"type":"resume","after":n}`; anything else is ignored. */
function resumePoint(text: string): number | undefined {
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message !== "object" || message === null) return undefined;
    const { type, after } = message as { type?: unknown; after?: unknown };
    return type === "resume" && Number.isSafeInteger(after) ? Number(after) : undefined;
  } catch {
    return undefined;
  }
}
