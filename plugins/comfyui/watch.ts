/**
 * Progress and previews over ComfyUI's WebSocket. It only shows how far a job is: whether the job
 * has ended is asked by HTTP, and no trouble of the socket reaches the job.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BackendSocket, Context, Job } from "switchyard/sdk";
import { createReader } from "./events.ts";

export interface Watch {
  /** Settles when the socket is open, or has failed once; later trouble is repaired unseen. */
  connect(clientId: string): Promise<void>;
  /** Waits `ms`, or less when the prompt has ended, the socket has broken or the job is aborted. */
  pause(ms: number): Promise<void>;
  close(): Promise<void>;
}

const CONNECT_MS = 5_000;
const LONGEST_PAUSE_MS = 30_000;
/** As the FIRST message, it makes previews name their prompt. */
const HELLO = JSON.stringify({
  type: "feature_flags",
  data: { supports_preview_metadata: true },
});

export function watch(job: Job, { http, log }: Context<unknown>, nodes: readonly string[]): Watch {
  const closing = new AbortController();
  const signal = AbortSignal.any([job.signal, closing.signal]);
  let poked = false;
  let wake = (): void => {};
  const poke = (): void => {
    poked = true;
    wake();
  };
  let socket: BackendSocket | undefined;
  let connecting: Promise<void> | undefined;
  let listening: Promise<void> | undefined;

  async function listen(clientId: string, opened: () => void): Promise<void> {
    const read = createReader(job, nodes, poke);
    // Pauses grow: a tight loop of reconnections has brought servers down. They are also long
    // enough for the server to forget the old socket; its end would else silence the new one.
    for (let pauseMs = 1_000; !signal.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        socket = await http.socket("/ws", { query: { clientId }, signal, timeoutMs: CONNECT_MS });
        socket.send(HELLO);
        opened();
        for await (const message of socket) read(message);
      } catch (error) {
        if (!signal.aborted)
          log.debug("no progress from ComfyUI for now", { error: String(error) });
      }
      opened();
      poke();
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
    opened();
  }

  return {
    connect(clientId) {
      connecting ??= new Promise((opened) => {
        listening = listen(clientId, opened);
      });
      return connecting;
    },
    async pause(ms) {
      if (!poked) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const timer = new AbortController();
        const stop = AbortSignal.any([signal, timer.signal]);
        await Promise.race([delay(ms, undefined, { signal: stop }).catch(() => {}), woken]);
        timer.abort();
      }
      poked = false;
    },
    async close() {
      closing.abort();
      await socket?.close();
      await listening;
    },
  };
}
