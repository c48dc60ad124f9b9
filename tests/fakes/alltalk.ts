/**
 * A stand-in for AllTalk, version 2 or 1. Words in the text steer it: `steps=N`, `fail`, `oom`,
 * `hang`, `null-output`, `slow-start`, and its own `memory` (507), `no-model`, `locked` (403) and
 * `none` (a success that names no file). It cannot be stopped, and with most engines nothing else
 * is answered while it speaks.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type Fake, readBehaviour } from "switchyard/sdk/testing";
import { type Form, refusalOf } from "./alltalk/form.ts";
import { wavOf } from "./alltalk/wav.ts";

export interface FakeAllTalkOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  readonly version?: 1 | 2;
  /** xtts unless said; piper works beside other calls, the others hold everything up. */
  readonly engine?: "xtts" | "vits" | "piper";
  readonly voices?: readonly string[];
  /** The engine has one voice, and says so instead of listing it. */
  readonly singleVoice?: boolean;
  /** No engine has been set up yet. */
  readonly unloaded?: boolean;
  /** What the server transcodes to; wav unless said. */
  readonly format?: "wav" | "mp3";
  /** The rate of the first part, where later ones have another. */
  readonly firstRateHz?: number;
  readonly maxCharacters?: number;
  /** The page of its paths fails, as a newer version's might. */
  readonly noPaths?: boolean;
  /** Milliseconds per `steps`; 2 unless said. */
  readonly stepMs?: number;
}

export interface FakeAllTalk extends Fake {
  /** The forms of all calls that make speech, in order. */
  readonly forms: readonly Form[];
  /** Most calls that made speech at the same time. */
  readonly together: number;
  /** Files by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The model moves to the GPU and back with each request. */
  readonly lowVram: boolean;
  /** Ends what hangs, as a speech that has come to its end. */
  release(): void;
}

const VOICES = {
  xtts: ["female_01.wav", "male_01.wav", "voiceset:narrators", "latent:alice.json"],
  vits: ["p225", "p226"],
  piper: ["en_US-ljspeech-high.onnx", "en_GB-alan-medium.onnx", "de_DE-thorsten-medium.onnx"],
};

export async function startFakeAllTalk(options: FakeAllTalkOptions = {}): Promise<FakeAllTalk> {
  const { version = 2, engine = "xtts", format = "wav", maxCharacters = 2_000 } = options;
  const voices = options.voices ?? VOICES[engine];
  const calls: string[] = [];
  const forms: Form[] = [];
  const files = new Map<string, Uint8Array>();
  const hanging = Promise.withResolvers<void>();
  let working: Promise<unknown> = Promise.resolve();
  let now = 0;
  let together = 0;
  let lowVram = false;
  let abandoned = false;
  let made = 0;

  async function speak(form: Form): Promise<[number, unknown]> {
    const text = form.text_input ?? "";
    const behaviour = readBehaviour(text);
    if (behaviour.slowStart) await delay(80);
    if (behaviour.hang) await hanging.promise;
    await delay(behaviour.steps * (options.stepMs ?? 2));
    const failed = failureFor(text, behaviour);
    if (failed !== undefined) return failed;
    made += 1;
    const stamp =
      form.output_file_timestamp === "true" ? `_1795485${String(made).padStart(8, "0")}` : "";
    const name = `${form.output_file_name ?? "myoutputfile"}${stamp}.${format}`;
    const rateHz = made === 1 ? options.firstRateHz : undefined;
    const sound = format === "wav" ? wavOf(behaviour.nullOutput ? "" : text, rateHz) : MP3;
    files.set(name, sound);
    return [200, success(text.includes("none") ? undefined : name, version)];
  }

  /** Only then can two calls be under way at once, and no lock keeps them apart. */
  async function alone(form: Form): Promise<[number, unknown]> {
    now += 1;
    together = Math.max(together, now);
    const work = speak(form).finally(() => (now -= 1));
    if (engine !== "piper") working = Promise.all([working, work]);
    return work;
  }

  const gets: Record<string, () => [number, unknown]> = {
    "/api/ready": () => [200, options.unloaded ? "Unloaded" : "Ready"],
    "/api/currentsettings": () => [200, version === 1 ? SETTINGS_V1 : settingsOf(engine, lowVram)],
    "/openapi.json": () =>
      options.noPaths ? [500, "Internal Server Error"] : [200, { paths: PATHS[version] }],
    "/api/voices": () =>
      options.singleVoice
        ? [200, { status: "error", message: `'${engine}' does not support multiple voices.` }]
        : [200, version === 1 ? { voices } : { status: "success", voices }],
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    calls.push(`${request.method} ${pathname}`);
    const body = await readBody(request);
    await working;
    const send = ([status, value]: [number, unknown]): void => reply(response, status, value);
    const get = request.method === "GET" ? gets[pathname] : undefined;
    if (get !== undefined) return send(get());
    const file = /^\/audio(?:cache)?\/([^/]+)$/.exec(pathname)?.[1];
    if (file !== undefined) return sendFile(response, files.get(file));
    switch (`${request.method} ${pathname}`) {
      case "POST /api/tts-generate": {
        const form = await readForm(request, body);
        forms.push(form);
        const refused = refusalOf(form, version, maxCharacters);
        if (refused !== undefined) return send([refused.status, refused.body]);
        response.on("close", () => (abandoned ||= !response.writableEnded));
        return send(await alone(form));
      }
      case "POST /api/lowvramsetting": {
        const isAble = engine !== "piper";
        lowVram = isAble && searchParams.get("new_low_vram_value") === "true";
        if (isAble) return send([200, { status: "lowvram-success", message: "" }]);
        return send([200, { status: "error", message: `'${engine}' does not support lowvram.` }]);
      }
      case "POST /api/enginereload":
      case "POST /api/reload":
      case "POST /v1/audio/speech":
        return send([500, "Internal Server Error"]);
      default:
        return send([404, { detail: "Not Found" }]);
    }
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    forms,
    files,
    release: () => hanging.resolve(),
    get together() {
      return together;
    },
    get lowVram() {
      return lowVram;
    },
    get stopped() {
      return abandoned;
    },
    async stop() {
      hanging.resolve();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The start of an MP3 frame is enough for what is tested. */
const MP3 = Uint8Array.from([0xff, 0xfb, 0x90, 0x64, ...new Array<number>(413).fill(0)]);

function failureFor(
  text: string,
  { fail, oom }: { fail: boolean; oom: boolean },
): [number, unknown] | undefined {
  const failure = (status: number, error: string): [number, unknown] => [
    status,
    { status: "generate-failure", error },
  ];
  if (fail) return failure(500, "TTS generation failed");
  if (oom) return [500, { detail: "CUDA out of memory. Tried to allocate 20.00 MiB." }];
  if (/\bmemory\b/.test(text)) return failure(507, "Insufficient memory");
  if (/\blocked\b/.test(text)) return failure(403, "Permission denied");
  const noModel = "You currently have no TTS model loaded.";
  return /\bno-model\b/.test(text) ? [400, { detail: noModel }] : undefined;
}

/** Version 1 names an address from its configuration, which is mostly not where it answers. */
function success(name: string | undefined, version: 1 | 2): unknown {
  const base = version === 1 ? "http://10.99.99.99:7851" : "";
  const at = (folder: string) => (name === undefined ? "None" : `${base}/${folder}/${name}`);
  return {
    status: "generate-success",
    output_file_path: `/opt/alltalk_tts/outputs/${name}`,
    output_file_url: at("audio"),
    output_cache_url: at("audiocache"),
  };
}

const PATHS = {
  1: { "/api/tts-generate": {}, "/api/voices": {}, "/api/ready": {} },
  2: { "/api/tts-generate": {}, "/api/voices": {}, "/api/ready": {}, "/v1/audio/speech": {} },
};

const SETTINGS_V1 = {
  models_available: [{ name: "Coqui", model_name: "XTTSv2 Local" }],
  current_model_loaded: "XTTSv2 Local",
  deepspeed_available: false,
  deepspeed_status: false,
  low_vram_status: false,
  finetuned_model: false,
};

function settingsOf(engine: "xtts" | "vits" | "piper", lowVram: boolean) {
  const isFull = engine === "xtts";
  return {
    engines_available: ["parler", "piper", "vits", "xtts", "f5tts"],
    current_engine_loaded: engine,
    models_available: [{ name: isFull ? "xtts - xttsv2_2.0.3" : engine }],
    current_model_loaded: isFull ? "xtts - xttsv2_2.0.3" : engine,
    audio_format: "wav",
    generationspeed_capable: engine !== "vits",
    languages_capable: isFull,
    lowvram_capable: engine !== "piper",
    lowvram_enabled: lowVram,
    multivoice_capable: true,
    pitch_capable: false,
    pitch_set: 0,
    repetitionpenalty_capable: isFull,
    repetitionpenalty_set: 10,
    temperature_capable: isFull,
    temperature_set: 0.75,
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

/** Of JSON it reads no field at all. */
async function readForm(request: IncomingMessage, body: Buffer<ArrayBuffer>): Promise<Form> {
  const type = request.headers["content-type"] ?? "";
  if (!/form/.test(type)) return {};
  const form = await new Response(body, { headers: { "content-type": type } }).formData();
  return Object.fromEntries([...form].map(([name, value]) => [name, String(value)]));
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  if (typeof value === "string") return void response.writeHead(status).end(value);
  const type = { "content-type": "application/json" };
  response.writeHead(status, type).end(JSON.stringify(value));
}

function sendFile(response: ServerResponse, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) {
    reply(response, 404, { detail: "File not found" });
    return;
  }
  const type = bytes === MP3 ? "audio/mpeg" : "audio/x-wav";
  response.writeHead(200, { "content-type": type, "content-length": bytes.length }).end(bytes);
}
