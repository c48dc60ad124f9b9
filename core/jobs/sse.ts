/**
 * A job's events as Server-Sent Events (WHATWG HTML, section 9.2): `id` is the event's number, so a
 * client that reconnects with `Last-Event-ID` misses nothing.
 */
import type { Connection } from "../http/route.ts";
import { type Hub, isLastEvent } from "./hub.ts";
import type { JobWire } from "./schema.ts";

const HEARTBEAT_MS = 15_000;
/** Events that may wait for a slow reader; the rest it gets from the log, as fast as it reads. */
const MAX_WAITING = 500;

export interface EventStreamOptions {
  readonly hub: Hub;
  readonly jobId: string;
  /** The key that watches. */
  readonly keyId: string;
  /** Number of the last event that the client has. */
  readonly after: number;
  /** The job as it is, for a client that names an event which never was. */
  readonly reset?: JobWire;
  readonly connection: Connection;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client went away before the last event. */
  readonly abandoned?: () => void;
}

export interface EventStreams {
  open(options: EventStreamOptions): Response;
  /** Ends the streams of one key, or all of them, after their current event. */
  close(keyId?: string): void;
}

export function createEventStreams(): EventStreams {
  const open = new Map<() => void, string>();

  function stream(options: EventStreamOptions) {
    const { hub, jobId, keyId, after, reset, connection, headers, abandoned } = options;
    const encoder = new TextEncoder();
    let leave = () => {};
    let seen = after;
    let isBehind = false;
    let heartbeat: ReturnType<typeof setInterval> | undefined;
    let close = () => {};
    let follow = () => {};

    const body = new ReadableStream<Uint8Array>(
      {
        start(controller) {
          let ended = false;
          const write = (text: string) => {
            if (!ended) controller.enqueue(encoder.encode(text));
          };
          close = () => {
            if (ended) return;
            ended = true;
            release();
            controller.close();
          };
          write("retry: 2000\n\n");
          if (reset) {
            const json = JSON.stringify({ type: "reset", seq: reset.seq, data: reset });
            write(`id: ${reset.seq}\nevent: reset\ndata: ${json}\n\n`);
          }
          heartbeat = setInterval(() => {
            if ((controller.desiredSize ?? 0) > 0) write(": still here\n\n");
          }, HEARTBEAT_MS);
          open.set(close, keyId);
          follow = () => {
            isBehind = false;
            leave = hub.follow(jobId, seen, {
              event(event, json) {
                write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${json}\n\n`);
                seen = event.seq;
                const isFull = (controller.desiredSize ?? 0) < -MAX_WAITING;
                isBehind = isFull && !isLastEvent(event);
                return !ended && !isBehind;
              },
              end: () => close(),
            });
            if (ended) leave();
          };
          follow();
        },
        pull() {
          if (isBehind) follow();
        },
        cancel() {
          release();
          abandoned?.();
        },
      },
      new CountQueuingStrategy({ highWaterMark: 1 }),
    );

    function release(): void {
      clearInterval(heartbeat);
      open.delete(close);
      leave();
    }

    connection.keepOpen();
    return new Response(body, {
      headers: {
        ...headers,
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // A proxy that buffers would hold the events back.
        "x-accel-buffering": "no",
      },
    });
  }

  return {
    open: stream,
    close(keyId) {
      for (const [close, owner] of [...open]) if (keyId === undefined || owner === keyId) close();
    },
  };
}
