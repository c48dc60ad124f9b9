/**
 * A stand-in for a server that answers a request with the sound itself, as vLLM-Omni documents
 * `POST /v1/audio/generate`. It works as long as the connection is open. Words in `input` steer it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Fake, readBehaviour } from "switchyard/sdk/testing";
import { wavBytes } from "./yue/sound.ts";

export interface FakeSoundOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** Milliseconds of one step; 2 unless said. */
  readonly stepMs?: number;
}

export async function startFakeSound(options: FakeSoundOptions = {}): Promise<Fake> {
  const { port = 0, stepMs = 2 } = options;
  const calls: string[] = [];
  let stopped = false;
  const server = createServer(async (request, response) => {
    calls.push(`${request.method} ${request.url?.split("?")[0]}`);
    response.on("close", () => {
      if (!response.writableEnded) stopped = true;
    });
    if (request.url === "/health") response.writeHead(200).end();
    else if (request.url !== "/v1/audio/generate") json(response, 404, { detail: "Not Found" });
    else await generate(request, response, stepMs);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    get stopped() {
      return stopped;
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function generate(
  request: IncomingMessage,
  response: ServerResponse,
  stepMs: number,
): Promise<void> {
  let text = "";
  for await (const piece of request) text += String(piece);
  const { input }: { input?: unknown } = JSON.parse(text);
  const behaviour = readBehaviour(String(input));
  if (behaviour.slowStart) await pause(100);
  for (let step = 0; behaviour.hang || step < behaviour.steps; step++) {
    if (response.destroyed) return;
    await pause(stepMs);
  }
  if (typeof input !== "string") json(response, 422, { detail: "input is required" });
  else if (behaviour.oom) json(response, 500, { error: { message: "CUDA out of memory." } });
  else if (behaviour.fail) json(response, 500, { error: { message: "the model failed" } });
  else {
    response.writeHead(200, { "content-type": "audio/wav" });
    response.end(behaviour.nullOutput ? "" : wavBytes());
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
