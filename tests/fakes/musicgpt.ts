/**
 * A stand-in for MusicGPT 0.3.27: its WebSocket, its chats on disk, and what is wrong with it. An
 * abort of the running job loses the one behind it, an abort of a queued one is answered by nothing,
 * a subscription can end in silence, the last progress is not 1, and every unknown path is its page.
 * The order and the texts of the messages are those of the real server.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { ServerWebSocket } from "bun";
import { type Fake, readBehaviour } from "switchyard/sdk/testing";

export interface FakeMusicGPTOptions {
  /** 0, an ephemeral one, unless said. */
  readonly port?: number;
  /** As the server calls it; "MusicGen Small" unless said. */
  readonly model?: string;
  /** Milliseconds of a token; 0.2 unless said. */
  readonly tokenMs?: number;
  /** Milliseconds of decoding, in which it says nothing; 20 unless said. */
  readonly decodeMs?: number;
}

export interface FakeMusicGPT extends Fake {
  /** "chat_id id" of every generation that was asked for, in the order of their arrival. */
  readonly requests: readonly string[];
  readonly prompts: readonly string[];
  /** Ids of finished audio files. */
  readonly files: ReadonlySet<string>;
  /** Chats on its disk. */
  readonly chats: number;
  readonly sockets: number;
  /** Ends every subscription in silence, as when the broadcast lags; the sockets stay open. */
  deafen(): void;
  dropSockets(): void;
  /** Loses what runs and waits, and every connection; chats and files stay. */
  restart(): void;
}

interface Request {
  readonly id: string;
  readonly chat_id: string;
  readonly prompt: string;
  readonly secs: number;
}

interface Chat {
  readonly chat_id: string;
  name: string;
  readonly created_at: number;
  readonly entries: unknown[];
}

interface Queued {
  readonly request: Request;
  readonly aborted: AbortController;
}

type Socket = ServerWebSocket<{ deaf: boolean }>;

const TOKENS = 50;

export async function startFakeMusicGPT(options: FakeMusicGPTOptions = {}): Promise<FakeMusicGPT> {
  const { port = 0, model = "MusicGen Small", tokenMs = 0.2, decodeMs = 20 } = options;
  const sockets = new Set<Socket>();
  const chats = new Map<string, Chat>();
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const calls: string[] = [];
  const requests: string[] = [];
  const prompts: string[] = [];
  let queue: Queued[] = [];
  let stopped = false;
  let life = new AbortController();
  let wake = (): void => {};

  const say = (socket: Socket, message: unknown): void => void socket.send(JSON.stringify(message));
  const broadcast = (event: unknown): void => {
    for (const socket of sockets) if (!socket.data.deaf) say(socket, { Generation: event });
  };
  const listed = () => ({ Chats: [...chats.values()].map(({ entries: _, ...chat }) => chat) });
  // Reading a chat makes it.
  const chatOf = (chat_id: string): Chat => {
    const chat = chats.get(chat_id) ?? { chat_id, name: "", created_at: Date.now(), entries: [] };
    chats.set(chat_id, chat);
    return chat;
  };

  function ask(request: Request): void {
    requests.push(`${request.chat_id} ${request.id}`);
    prompts.push(request.prompt);
    queue.push({ request, aborted: new AbortController() });
    wake();
  }

  function abort({ id }: Request): void {
    stopped = true;
    const place = queue.findIndex(({ request }) => request.id === id);
    if (place < 0) return;
    // The running one leaves the queue too; the worker then takes another one away at its end.
    for (const { aborted } of queue.splice(place, 1)) aborted.abort();
  }

  const answers: Record<string, (body: Request & { name?: string }) => unknown> = {
    GenerateAudioNewChat(body) {
      chatOf(body.chat_id).name = body.prompt;
      ask(body);
      return listed();
    },
    GenerateAudio: (body) => ask(body),
    AbortGeneration: (body) => abort(body),
    GetChat({ chat_id }) {
      const { entries, ...chat } = chatOf(chat_id);
      return { Chat: [chat, entries] };
    },
    DelChat({ chat_id }) {
      chats.delete(chat_id);
      return listed();
    },
  };

  async function work(): Promise<void> {
    for (const { signal } = life; !signal.aborted; ) {
      const front = queue[0];
      if (front === undefined) {
        await new Promise<void>((done) => {
          wake = done;
        });
        continue;
      }
      await generate(front, signal);
      if (!signal.aborted) queue.shift();
    }
  }

  async function generate({ request, aborted }: Queued, dead: AbortSignal): Promise<void> {
    const { id, chat_id, prompt, secs } = request;
    const ids = { id, chat_id };
    const behaviour = readBehaviour(prompt);
    if (behaviour.slowStart) await delay(150);
    if (dead.aborted) return;
    chatOf(chat_id).entries.push({ User: { ...ids, text: prompt } });
    broadcast({ Start: { ...ids, prompt, secs } });
    const end = (error: string): void => {
      const relpath = error === "" ? `audios/${id}.wav` : "";
      chatOf(chat_id).entries.push({ Ai: { ...ids, relpath, error } });
      broadcast(error === "" ? { Result: { ...ids, relpath } } : { Error: { ...ids, error } });
    };
    // The last three tokens only fill up the pattern, so the last progress is not 1.
    const last = secs * TOKENS - 3;
    const shown = prompt.includes("steps=") ? Math.min(behaviour.steps, last) : last;
    for (let step = 1; step <= shown; step += 1) {
      if (tokenMs >= 1 || step % 5 === 0) await delay(Math.ceil(tokenMs));
      if (behaviour.hang && step > 2) await gone(aborted.signal, dead);
      if (dead.aborted) return;
      const token = Math.round((step / shown) * last);
      broadcast({ Progress: { ...ids, progress: token / (secs * TOKENS) } });
      if (aborted.signal.aborted) return end("Aborted");
      if (behaviour.fail && step > 1) return end("Non-zero status code while running MatMul node");
      if (behaviour.oom && step > 1) return end("CUDA failure 2: out of memory ; GPU=0");
    }
    await delay(decodeMs);
    if (dead.aborted) return;
    if (!behaviour.nullOutput) files.set(id, recording(secs));
    end("");
  }

  const server = Bun.serve<{ deaf: boolean }>({
    hostname: "127.0.0.1",
    port,
    fetch(request, self) {
      const { pathname } = new URL(request.url);
      calls.push(`${request.method} ${pathname}`);
      if (pathname === "/ws" && self.upgrade(request, { data: { deaf: false } })) return undefined;
      const found = /^\/files\/audios\/(.+)\.wav$/.exec(pathname)?.[1];
      if (pathname.startsWith("/files/")) {
        const bytes = files.get(found ?? "");
        if (bytes === undefined) return new Response(null, { status: 404 });
        return new Response(bytes, { headers: { "content-type": "audio/wav" } });
      }
      const page = { headers: { "content-type": "text/html; charset=utf-8" } };
      return new Response("<!doctype html><title>MusicGPT</title>", page);
    },
    websocket: {
      open(socket) {
        say(socket, { Info: { model, device: "Cpu" } });
        say(socket, listed());
        sockets.add(socket);
      },
      message(socket, text) {
        const [[kind, body] = ["", {}]] = Object.entries(JSON.parse(String(text)));
        calls.push(`WS ${kind}`);
        const answer = answers[kind];
        if (answer === undefined) return say(socket, { Error: `unknown variant \`${kind}\`` });
        const said = answer(body as Request);
        if (said !== undefined) say(socket, said);
      },
      close: (socket) => void sockets.delete(socket),
    },
  });
  void work();

  const dropSockets = (): void => {
    for (const socket of sockets) socket.terminate();
  };
  const die = (): void => {
    life.abort();
    wake();
    queue = [];
    dropSockets();
  };
  return {
    url: `http://127.0.0.1:${server.port}`,
    calls,
    requests,
    prompts,
    get files() {
      return new Set(files.keys());
    },
    get chats() {
      return chats.size;
    },
    get sockets() {
      return sockets.size;
    },
    get stopped() {
      return stopped;
    },
    deafen() {
      for (const socket of sockets) socket.data.deaf = true;
    },
    dropSockets,
    restart() {
      die();
      life = new AbortController();
      void work();
    },
    async stop() {
      die();
      await server.stop(true);
    },
  };
}

/** Until one of the two. */
function gone(first: AbortSignal, second: AbortSignal): Promise<void> {
  return new Promise((done) => {
    for (const signal of [first, second]) {
      if (signal.aborted) done();
      signal.addEventListener("abort", () => done(), { once: true });
    }
  });
}

/** A short WAV of 32-bit floats, mono at 32 kHz as the server writes it; the longer the later. */
function recording(secs: number): Uint8Array<ArrayBuffer> {
  const samples = 64 * secs;
  const bytes = Buffer.alloc(44 + samples * 4);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + samples * 4, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(3, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(32_000, 24);
  bytes.writeUInt32LE(128_000, 28);
  bytes.writeUInt16LE(4, 32);
  bytes.writeUInt16LE(32, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(samples * 4, 40);
  for (let at = 0; at < samples; at += 1) bytes.writeFloatLE(Math.sin(at / 8) / 4, 44 + at * 4);
  return new Uint8Array(bytes);
}
