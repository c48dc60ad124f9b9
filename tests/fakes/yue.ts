/**
 * A stand-in for yue-server of yue2.cpp. Words in style or lyrics steer it as every fake (`steps=N`,
 * `fail`, `oom`, `hang`, `null-output`, `slow-start`). Written after tools/yue-server.cpp of
 * ServeurpersoCom/yue2.cpp@8c15525: a failure tells no reason but in the log, the result is
 * multipart and 404 until it is ready, jobs run one by one, and 32 results are kept.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Fake } from "switchyard/sdk/testing";
import { BOUNDARY, createSongs, type SongRequest, type Songs } from "./yue/jobs.ts";

export interface FakeYueOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** Milliseconds of one step; 2 unless said. */
  readonly stepMs?: number;
}

export interface FakeYue extends Fake {
  /** The requests as they came, in order. */
  readonly requests: readonly SongRequest[];
  readonly mostAtOnce: number;
}

const COTS = ["full", "melody", "off"];
const FORMATS = ["mp3", "wav16", "wav24", "wav32"];

export async function startFakeYue(options: FakeYueOptions = {}): Promise<FakeYue> {
  const { port = 0, stepMs = 2 } = options;
  const calls: string[] = [];
  const requests: SongRequest[] = [];
  const lines: string[] = ["[Server] yue-server fake"];
  const songs = createSongs(stepMs, (line) => void lines.push(line));
  let stopped = false;
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    calls.push(`${request.method} ${url.pathname}`);
    const call = { request, response, url, songs, lines, requests };
    if (await answer(call)) stopped = true;
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    requests,
    get stopped() {
      return stopped;
    },
    get mostAtOnce() {
      return songs.mostAtOnce;
    },
    async stop() {
      songs.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly songs: Songs;
  readonly lines: readonly string[];
  readonly requests: SongRequest[];
}

/** True when the call was a cancel. */
async function answer(call: Call): Promise<boolean> {
  const { request, response, url } = call;
  const route = `${request.method} ${url.pathname}`;
  if (route === "GET /health") json(response, 200, { status: "ok" });
  else if (route === "GET /props") json(response, 200, props());
  else if (route === "GET /logs") logs(call);
  else if (route === "POST /synth") await synth(call);
  else if (route === "GET /job") job(call);
  else if (route === "POST /job") return cancel(call);
  else if (route === "GET /")
    response.writeHead(406, { "content-type": "text/plain" }).end("gzip required");
  else response.writeHead(404).end();
  return false;
}

function props() {
  const defaults = { cot: "full", duration: 360, steps: 32, output_format: "mp3" };
  const rates = { sample_rate: 48_000, frame_rate: 25, context: 24_576 };
  return { version: "fake", model: "YuE2-3B-Q8_0.gguf", vae: "v.gguf", ...rates, defaults };
}

async function synth({ request, response, songs, requests }: Call): Promise<void> {
  let text = "";
  for await (const piece of request) text += String(piece);
  const song = parse(text);
  const error = song === undefined ? "invalid JSON" : refusal(song);
  if (song === undefined || error !== undefined) {
    json(response, 400, { error });
    return;
  }
  requests.push(song);
  json(response, 200, { id: songs.create(song).id });
}

function refusal({ cot = "full", output_format = "mp3", ...song }: SongRequest) {
  const { steps = 32, style = "", lyrics = "" } = song;
  if (!COTS.includes(String(cot))) return "cot must be full, melody or off";
  if (!FORMATS.includes(String(output_format))) return "unknown output format";
  if (Number(steps) < 1) return "steps must be positive";
  return style === "" && lyrics === "" ? "style or lyrics required" : undefined;
}

function parse(text: string): SongRequest | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function job({ response, url, songs }: Call): void {
  const song = songs.find(url.searchParams.get("id") ?? "");
  const wantsResult = url.searchParams.has("result");
  if (song === undefined) json(response, 404, { error: "job not found" });
  else if (!wantsResult) json(response, 200, { status: song.status });
  else if (song.result === undefined) json(response, 404, { error: "result not ready" });
  else {
    const type = `multipart/mixed; boundary=${BOUNDARY}`;
    response.writeHead(200, { "content-type": type, "content-length": song.result.length });
    response.end(song.result);
  }
}

/** It tells the state of before: the worker looks at the wish at its next step. */
function cancel({ response, url, songs }: Call): boolean {
  const song = songs.find(url.searchParams.get("id") ?? "");
  if (song === undefined) {
    json(response, 404, { error: "job not found" });
    return false;
  }
  if (url.searchParams.has("cancel")) song.cancel = true;
  json(response, 200, { status: song.status });
  return song.cancel;
}

/** A stream that never ends, beginning with what was printed so far. */
function logs({ response, lines }: Call): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const line of lines.slice(-512)) response.write(`data: ${line}\n\n`);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
