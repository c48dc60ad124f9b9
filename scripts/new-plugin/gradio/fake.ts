/**
 * A stand-in for Template Server, as Gradio 5 serves such a page. Words in the prompt steer it:
 * `steps=N`, `fail`, `oom`, `hang`, `null-output`, `slow-start`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type Fake, readBehaviour } from "switchyard/sdk/testing";

export interface FakeTemplateServerOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** Milliseconds of one step; 5 unless said. */
  readonly stepMs?: number;
}

/** What `curl http://127.0.0.1:7860/config` shows, as far as it matters. */
const CONFIG = {
  version: "5.49.1",
  protocol: "sse_v3",
  api_prefix: "/gradio_api",
  title: "Template Server",
  components: [
    { id: 1, type: "textbox" },
    { id: 2, type: "slider", props: { minimum: 1, maximum: 60 } },
    { id: 3, type: "number" },
    { id: 4, type: "textbox" },
    { id: 5, type: "slider", props: { minimum: 0, maximum: 25 } },
    { id: 6, type: "audio" },
  ],
  dependencies: [
    { id: 0, api_name: "generate", inputs: [1, 2, 3, 4, 5], outputs: [6] },
    { id: 1, api_name: "interrupt", inputs: [], outputs: [] },
  ],
};
const parameter = (parameter_name: string, component: string, type: object, value: unknown) => ({
  ...{ label: parameter_name, parameter_name, component, type },
  ...{ parameter_has_default: value !== undefined, parameter_default: value },
});
const number = { type: "number", description: "numeric value between 0 and 60" };
/** And `curl http://127.0.0.1:7860/gradio_api/info`. */
const INFO = {
  named_endpoints: {
    "/generate": {
      parameters: [
        parameter("prompt", "Textbox", { type: "string" }, undefined),
        parameter("seconds", "Slider", number, 10),
        parameter("seed", "Number", { type: "number" }, -1),
        parameter("file_name", "Textbox", { type: "string" }, "prompt"),
        parameter("cfg_scale", "Slider", number, 7),
      ],
      returns: [{ label: "Output", component: "Audio" }],
    },
    "/interrupt": { parameters: [], returns: [] },
  },
};
const OUTPUT = "/tmp/gradio/0a1b/output.wav";

type Said = Record<string, unknown>;

export async function startFakeTemplateServer(
  options: FakeTemplateServerOptions = {},
): Promise<Fake> {
  const { port = 0, stepMs = 5 } = options;
  const calls: string[] = [];
  /** What each session has yet to be told, by its hash. */
  const work = new Map<string, (say: (said: Said) => void) => Promise<Said>>();
  let interrupted = false;
  let stopped = false;

  async function generate(prompt: string, say: (said: Said) => void): Promise<Said> {
    const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(prompt);
    interrupted = false;
    if (slowStart) await delay(20 * stepMs);
    for (let step = 1; step <= steps || hang; step++) {
      if (interrupted) return { success: false, output: { error: "Interrupted." } };
      const bar = { index: Math.min(step, steps), length: steps, unit: "steps", desc: "sampling" };
      say({ msg: "progress", progress_data: [bar] });
      await delay(stepMs);
    }
    const error = oom ? "CUDA out of memory. Tried to allocate 2.00 GiB" : "the sampler diverged";
    if (oom || fail) return { success: false, output: { error } };
    const meta = { _type: "gradio.FileData" };
    const file = { path: OUTPUT, orig_name: "output.wav", mime_type: null, meta };
    return { success: true, output: { data: [nullOutput ? null : file] } };
  }

  function join({ data, fn_index, session_hash }: Record<string, unknown>): object {
    const [prompt] = Array.isArray(data) ? data : [];
    // Not queued: it takes effect at once.
    if (fn_index === 1) interrupted = stopped = true;
    else work.set(String(session_hash), (say) => generate(String(prompt), say));
    return { event_id: `event-${session_hash}` };
  }

  async function stream(response: ServerResponse, session: string): Promise<void> {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const say = (said: Said) => {
      const message = { event_id: `event-${session}`, ...said };
      response.write(`data: ${JSON.stringify(message)}\n\n`);
    };
    say({ msg: "estimation", rank: 0, queue_size: 1, rank_eta: null });
    say({ msg: "process_starts", eta: null });
    say({ msg: "process_completed", ...(await work.get(session)?.(say)) });
    say({ msg: "close_stream", event_id: null });
    response.end();
  }

  const server = createServer(async (request, response) => {
    const { method = "GET", url = "/" } = request;
    const { pathname, searchParams } = new URL(url, "http://localhost");
    calls.push(`${method} ${pathname}`);
    const body = await readJson(request);
    const path = pathname.replace(/^\/gradio_api/, "");
    if (path === "/queue/data") return stream(response, searchParams.get("session_hash") ?? "");
    if (path === `/file=${OUTPUT}`) return void response.end(silence());
    const pages: Record<string, () => unknown> = {
      "/config": () => CONFIG,
      "/info": () => INFO,
      "/app_id": () => ({ app_id: 42 }),
      "/queue/join": () => join(body),
    };
    const page = pages[path];
    response.statusCode = page === undefined ? 404 : 200;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(page?.() ?? { detail: "Not Found" }));
  });
  await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    get stopped() {
      return stopped;
    },
    async stop() {
      interrupted = true;
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const piece of request) text += piece;
  return text === "" ? {} : JSON.parse(text);
}

/** A WAV of one second: 8,000 samples of one byte. */
function silence(): Buffer {
  const header = Buffer.alloc(44);
  header.write("RIFF");
  header.writeUInt32LE(36 + 8_000, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8_000, 24);
  header.writeUInt32LE(8_000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write("data", 36);
  header.writeUInt32LE(8_000, 40);
  return Buffer.concat([header, Buffer.alloc(8_000, 128)]);
}
