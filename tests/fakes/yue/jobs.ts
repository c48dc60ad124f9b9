/** The queue of the stand-in for yue-server: one worker, first in, first out, 32 results kept. */
import { type Behaviour, readBehaviour } from "switchyard/sdk/testing";
import { mp3Bytes, wavBytes } from "./sound.ts";

export type SongRequest = Readonly<Record<string, unknown>>;
export type SongStatus = "running" | "done" | "failed" | "cancelled";

export interface Song {
  readonly id: string;
  readonly request: SongRequest;
  status: SongStatus;
  cancel: boolean;
  /** The multipart body. */
  result: Uint8Array | undefined;
}

export interface Songs {
  create(request: SongRequest): Song;
  find(id: string): Song | undefined;
  /** How many songs were worked on at once, at most. */
  readonly mostAtOnce: number;
  close(): void;
}

export const BOUNDARY = "yue2-batch-boundary";
const MAX_JOBS = 32;

/** `log` gets what the real server prints on stderr. */
export function createSongs(stepMs: number, log: (line: string) => void): Songs {
  const songs = new Map<string, Song>();
  const waiting: Song[] = [];
  let working = 0;
  let mostAtOnce = 0;
  let closed = false;
  let next = 1;

  async function work(): Promise<void> {
    if (working > 0) return;
    for (let song = waiting.shift(); song !== undefined && !closed; song = waiting.shift()) {
      working += 1;
      mostAtOnce = Math.max(mostAtOnce, working);
      song.status = await sing(song);
      working -= 1;
    }
  }

  async function sing(song: Song): Promise<SongStatus> {
    const { style = "", lyrics = "" } = song.request;
    const behaviour = readBehaviour(`${style} ${lyrics}`);
    log(`[Server] Job ${song.id}: ${JSON.stringify(song.request)}`);
    if (behaviour.slowStart) await pause(100);
    for (let step = 0; behaviour.hang || step < behaviour.steps; step++) {
      if (song.cancel || closed) {
        log(`[AR] Cancelled at step ${step}`);
        return "cancelled";
      }
      log(`[AR] Semantic ${step * 100}/${behaviour.steps * 100}`);
      await pause(stepMs);
    }
    if (behaviour.oom) log("[GGML] ggml_backend_cuda_buffer_type_alloc_buffer: out of memory");
    if (behaviour.fail) log("[AR] FATAL: prefix 24000 + budget 9000 + end exceeds context 24576");
    if (behaviour.oom || behaviour.fail) return "failed";
    song.result = bodyOf(song.request, behaviour);
    return "done";
  }

  return {
    create(request) {
      const id = (next++).toString(16).padStart(16, "0");
      const song: Song = { id, request, status: "running", cancel: false, result: undefined };
      songs.set(id, song);
      // Work that goes on is never forgotten.
      for (const [old, { status }] of songs) {
        if (songs.size > MAX_JOBS && status !== "running") songs.delete(old);
      }
      waiting.push(song);
      void work();
      return song;
    },
    find: (id) => songs.get(id),
    get mostAtOnce() {
      return mostAtOnce;
    },
    close() {
      closed = true;
    },
  };
}

/** For each track the request that would make it again, then its sound. */
function bodyOf(request: SongRequest, { nullOutput }: Behaviour): Uint8Array {
  const isMp3 = (request.output_format ?? "mp3") === "mp3";
  const audio = isMp3 ? mp3Bytes() : wavBytes();
  const type = isMp3 ? "audio/mpeg" : "audio/wav";
  const seeds = { lm_seed: seedOf(request.lm_seed), seed: seedOf(request.seed) };
  const replay = JSON.stringify({ ...request, ...seeds, semantic_tokens: "1,2,3" });
  const pieces: (string | Uint8Array)[] = [
    `--${BOUNDARY}\r\nContent-Type: application/json\r\n\r\n${replay}\r\n`,
  ];
  if (!nullOutput) {
    pieces.push(`--${BOUNDARY}\r\nContent-Type: ${type}\r\n\r\n`, audio, "\r\n");
  }
  pieces.push(`--${BOUNDARY}--\r\n`);
  return Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));
}

/** Negative is random; the answer tells which one it was. */
function seedOf(seed: unknown): number {
  return typeof seed === "number" && seed >= 0 ? seed : Math.floor(Math.random() * 2 ** 40);
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
