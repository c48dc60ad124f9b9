/** The fake must be as bad as the real server: what the plugin's tests rely on. */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { poll } from "switchyard/sdk";
import type { FakeComfyUI } from "../fakes/comfyui.ts";
import { startFake, until } from "./comfyui-cases.ts";

const DRAWING = { "1": { class_type: "EmptyImage", inputs: sized(1) }, "2": saved("1") };
const sampling = (text: string) => ({
  "4": {
    class_type: "CheckpointLoaderSimple",
    inputs: { ckpt_name: "sd_xl_base_1.0.safetensors" },
  },
  "5": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
  "6": { class_type: "CLIPTextEncode", inputs: { text, clip: ["4", 1] } },
  "3": {
    class_type: "KSampler",
    inputs: {
      ...{ seed: 1, steps: 2, cfg: 7, sampler_name: "euler", scheduler: "normal", denoise: 1 },
      ...{ model: ["4", 0], positive: ["6", 0], negative: ["6", 0], latent_image: ["5", 0] },
    },
  },
  "8": { class_type: "VAEDecode", inputs: { samples: ["3", 0], vae: ["4", 2] } },
  "2": saved("8"),
});

function sized(color: number) {
  return { width: 64, height: 64, batch_size: 1, color };
}

function saved(from: string) {
  return { class_type: "SaveImage", inputs: { filename_prefix: "x", images: [from, 0] } };
}

const ask = async (fake: FakeComfyUI, path: string, body?: unknown): Promise<any> => {
  const request = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const text = await (await fetch(`${fake.url}${path}`, request)).text();
  return text === "" ? undefined : JSON.parse(text);
};

async function submit(fake: FakeComfyUI, prompt: object, more: object = {}): Promise<string> {
  const id = randomUUID();
  await ask(fake, "/prompt", { prompt, prompt_id: id, ...more });
  return id;
}

interface Listener {
  readonly socket: WebSocket;
  /** "type" of every event, "executing null" for the last one, "binary N" for previews. */
  readonly heard: string[];
}

async function listen(fake: FakeComfyUI, clientId: string, hello = true): Promise<Listener> {
  const socket = new WebSocket(`${fake.url.replace("http", "ws")}/ws?clientId=${clientId}`);
  socket.binaryType = "arraybuffer";
  const heard: string[] = [];
  socket.addEventListener("message", ({ data }) => {
    if (typeof data !== "string") heard.push(`binary ${new DataView(data).getUint32(0)}`);
    else {
      const event = JSON.parse(data);
      heard.push(event.data.node === null ? "executing null" : event.type);
    }
  });
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  const flags = { type: "feature_flags", data: { supports_preview_metadata: true } };
  if (hello) socket.send(JSON.stringify(flags));
  await until(() => heard.includes(hello ? "feature_flags" : "status"), "the greeting");
  heard.length = 0;
  return { socket, heard };
}

describe("the fake's events", () => {
  test("come in ComfyUI's order, and the history is written before the last one", async () => {
    const fake = await startFake();
    const { heard, socket } = await listen(fake, "me");
    await submit(fake, sampling("a cat"), { client_id: "me" });
    await until(() => heard.includes("executing null"), "the end");
    const once = heard.filter((name, index) => name !== heard[index - 1]);
    expect(once.slice(0, 4)).toEqual([
      "status",
      "execution_start",
      "execution_cached",
      "progress_state",
    ]);
    expect(once.slice(-6)).toEqual([
      "executing",
      "executed",
      "progress_state",
      "execution_success",
      "status",
      "executing null",
    ]);
    expect(heard.filter((name) => name === "binary 4")).toHaveLength(2);
    socket.close();
  });

  test("carry the older previews to a client that says nothing first", async () => {
    const fake = await startFake();
    const { heard, socket } = await listen(fake, "me", false);
    await submit(fake, sampling("a cat"), { client_id: "me" });
    await until(() => heard.includes("executing null"), "the end");
    expect(heard.filter((name) => name === "binary 1")).toHaveLength(2);
    socket.close();
  });

  test("of a prompt without a client go to everybody, but without its start and end", async () => {
    const fake = await startFake();
    const { heard, socket } = await listen(fake, "me");
    const id = await submit(fake, sampling("a cat"));
    await until(() => fake.executions.has(id) && heard.at(-1) === "status", "the end");
    expect(heard).toContain("progress");
    for (const name of ["execution_start", "executing", "executed", "execution_success"]) {
      expect(heard).not.toContain(name);
    }
    socket.close();
  });

  test("stop when an old socket closes after a new one took its id", async () => {
    const fake = await startFake();
    const old = await listen(fake, "me");
    const young = await listen(fake, "me");
    old.socket.close();
    await until(() => fake.sockets === 1, "the old socket is gone");
    const id = await submit(fake, DRAWING, { client_id: "me" });
    await until(() => fake.files.size === 1 && fake.executions.has(id), "the prompt ran");
    expect(young.heard).toEqual([]);
    young.socket.close();
  });
});

describe("the fake's answers", () => {
  test("give the old file name for an unchanged graph, and run nothing", async () => {
    const fake = await startFake();
    const first = await submit(fake, DRAWING);
    const second = await submit(fake, DRAWING);
    const outputs = async (id: string) => (await ask(fake, `/api/jobs/${id}`)).outputs;
    const signal = AbortSignal.timeout(5_000);
    await poll(() => outputs(second), { signal, intervalMs: 5 });
    expect(await outputs(second)).toEqual(await outputs(first));
    expect(fake.files.size).toBe(1);
  });

  test("accept a half-valid graph with its errors, and refuse one without a valid output", async () => {
    const fake = await startFake();
    const half = await ask(fake, "/prompt", { prompt: { ...DRAWING, "3": saved("9") } });
    expect(half).toMatchObject({ prompt_id: expect.any(String) });
    expect(Object.keys(half.node_errors)).toEqual(["3"]);
    const bad = await ask(fake, "/prompt", { prompt: { "3": saved("9") } });
    expect(bad.error.type).toBe("prompt_outputs_failed_validation");
    const none = await ask(fake, "/prompt", { prompt: { "1": DRAWING["1"] } });
    expect(none.error.type).toBe("prompt_no_outputs");
  });

  test("are 500 to a body that is no graph, 403 to a foreign page, 400 to an id that is no UUID", async () => {
    const fake = await startFake();
    const post = (body: string, headers = {}) =>
      fetch(`${fake.url}/prompt`, { method: "POST", body, headers });
    expect((await post('{"prompt":[]}')).status).toBe(500);
    expect((await post("not JSON")).status).toBe(500);
    expect((await post("{}", { origin: "http://evil.example" })).status).toBe(403);
    expect((await post("{}", { "sec-fetch-site": "cross-site" })).status).toBe(403);
    const named = JSON.stringify({ prompt: DRAWING, prompt_id: "MINE" });
    expect((await post(named)).status).toBe(400);
  });

  test("know nothing in the history of a prompt that runs, and nothing at all after a restart", async () => {
    const fake = await startFake();
    const id = await submit(fake, sampling("hang"));
    await until(() => fake.executions.has(id), "it runs");
    expect(await ask(fake, `/history/${id}`)).toEqual({});
    expect((await ask(fake, `/api/jobs/${id}`)).status).toBe("in_progress");
    fake.restart();
    expect((await fetch(`${fake.url}/api/jobs/${id}`)).status).toBe(404);
  });

  test("stay 200 while a dead worker holds the queue for ever", async () => {
    const fake = await startFake();
    const first = await submit(fake, sampling("crash"));
    await until(() => fake.executions.has(first), "it runs");
    const second = await submit(fake, DRAWING);
    await ask(fake, "/interrupt", {});
    const queue = await ask(fake, "/queue");
    expect(queue.queue_running[0][1]).toBe(first);
    expect(queue.queue_pending[0][1]).toBe(second);
  });

  test("to /free come at once, the memory only after the current prompt", async () => {
    const fake = await startFake();
    const id = await submit(fake, sampling("hang"));
    await until(() => fake.loaded.size === 1, "the model is loaded");
    await ask(fake, "/free", { unload_models: true });
    expect(fake.loaded.size).toBe(1);
    await ask(fake, `/api/jobs/${id}/cancel`, {});
    await until(() => fake.loaded.size === 0, "the memory is free");
  });
});
