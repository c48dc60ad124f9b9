/**
 * Work that goes through real plugins to servers: pictures, text, speech, and servers that are
 * down.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type FakeComfyUI, startFakeComfyUI } from "../fakes/comfyui.ts";
import { type FakeOllama, startFakeOllama } from "../fakes/ollama.ts";
import { eventually, type Gateway, RUNTIME, startGateway, temporaryFolder } from "../gateway.ts";
import { openSocket, openStream } from "./watch.ts";

const PARROT = resolve(import.meta.dir, "..", "fixtures", "plugins", "parrot", "plugin.ts");

describe(`backends on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let comfyui: FakeComfyUI;
  let ollama: FakeOllama;
  let second: FakeOllama;

  beforeAll(async () => {
    [comfyui, ollama, second] = await Promise.all([
      startFakeComfyUI({ stepMs: 25 }),
      startFakeOllama(),
      startFakeOllama(),
    ]);
    gateway = await startGateway({
      config: `
devices: { gpu0: {}, gpu1: {} }
backends:
  espeak: { use: espeak }
  comfyui: { use: comfyui, url: "${comfyui.url}" }
  ollama: { use: ollama, url: "${ollama.url}" }
  second: { use: ollama, url: "${second.url}", device: gpu1 }
`,
    });
    await eventually("all are ready", async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.every(({ status }: any) => status === "ready");
    });
  });
  afterAll(async () => {
    await gateway.remove();
    await Promise.all([comfyui.stop(), ollama.stop(), second.stop()]);
  });

  test("a picture: progress, previews, and a PNG that can be had in parts", async () => {
    const request = { prompt: "a cat steps=40", width: 64, height: 64 };
    const { status, data } = await gateway.call("POST", "/generate/image", request);
    expect(status).toBe(202);
    const path = `/jobs/${data.job_id}`;
    const watcher = openSocket(gateway, `/ws${path}?after=0`);
    const { data: announced } = await watcher.first("job.preview");
    expect(announced.preview_url).toBe(`${path}/preview`);
    const preview = await fetch(gateway.url + announced.preview_url, {
      headers: { "x-api-key": gateway.key },
    });
    expect(preview.status).toBe(200);
    expect(preview.headers.get("content-type")).toMatch(/^image\/(jpeg|png)$/);
    expect(preview.headers.get("x-content-type-options")).toBe("nosniff");
    const { status: running, data: live } = await gateway.call("GET", path);
    expect([running, live.status, live.progress.preview_url]).toEqual([
      200,
      "running",
      `${path}/preview`,
    ]);
    const job = await gateway.ended(data.job_id);
    expect(job.status).toBe("completed");
    expect(await watcher.closed).toBe(1000);
    const values = watcher.messages.filter(({ type }) => type === "job.progress");
    const fractions = values.map(({ data }) => data.value).filter((value) => value !== null);
    expect(fractions.length).toBeGreaterThan(1);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect((await gateway.call("GET", `${path}/preview`)).status).toBe(404);

    const [artifact] = job.output.artifacts;
    expect(artifact).toMatchObject({ media_type: "image/png" });
    const get = (headers: Record<string, string>, method = "GET") =>
      fetch(gateway.url + artifact.url, {
        method,
        headers: { "x-api-key": gateway.key, ...headers },
      });
    const whole = Buffer.from(await (await get({})).arrayBuffer());
    expect(whole.readUInt32BE(0)).toBe(0x89504e47);
    expect(new Bun.CryptoHasher("sha256").update(whole).digest("hex")).toBe(artifact.sha256);
    const head = await get({}, "HEAD");
    expect([head.status, head.headers.get("content-length")]).toEqual([200, `${whole.length}`]);
    const etag = head.headers.get("etag")!;
    const part = await get({ range: "bytes=8-15" });
    expect([part.status, part.headers.get("content-range")]).toEqual([
      206,
      `bytes 8-15/${whole.length}`,
    ]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(whole.subarray(8, 16));
    const rest = await get({ range: "bytes=16-", "if-range": etag });
    expect(Buffer.from(await rest.arrayBuffer())).toEqual(whole.subarray(16));
    expect((await get({ range: `bytes=${whole.length}-` })).status).toBe(416);
    expect((await get({ "if-none-match": etag })).status).toBe(304);
    expect((await get({ "if-none-match": '"other"' })).status).toBe(200);
  });

  test("a picture may be fetched by a page with a ticket, once", async () => {
    const request = { prompt: "a dog steps=2", width: 64, height: 64 };
    const { data } = await gateway.call("POST", "/generate/image", request);
    const { output } = await gateway.ended(data.job_id);
    const { url } = output.artifacts[0];
    const { data: issued } = await gateway.call("POST", "/auth/ws-ticket", { path: url });
    const ask = () =>
      gateway.call("GET", `${url}?ticket=${issued.ticket}&inline=true`, undefined, { key: null });
    const first = await ask();
    expect([first.status, first.headers.get("content-type")]).toEqual([200, "image/png"]);
    expect(first.headers.get("content-disposition")).toStartWith("inline");
    expect((await ask()).status).toBe(401);
  });

  test("cancelling a picture reaches ComfyUI", async () => {
    const request = { prompt: "a cat hang", width: 64, height: 64 };
    const { data } = await gateway.call("POST", "/generate/image", request);
    await eventually("it computes", () => comfyui.executions.has(data.job_id));
    const cancelled = await gateway.call("DELETE", `/jobs/${data.job_id}`);
    expect(cancelled.data.status).toBe("cancelled");
    await eventually("ComfyUI was told", () => comfyui.stopped);
  });

  test("stream: true brings the tokens before the end", async () => {
    const body = { prompt: "steps=30 hello", stream: true };
    const stream = await openStream(gateway, "POST", "/llm/generate", { body });
    expect(stream.headers.get("content-type")).toStartWith("text/event-stream");
    await stream.first("job.delta");
    const job = stream.headers.get("x-gateway-job");
    await stream.ended;
    const end = stream.events.findIndex(({ type }) => type === "job.completed");
    expect(end).toBe(stream.events.length - 1);
    const deltas = stream.events.filter(({ type }) => type === "job.delta");
    const { data } = await gateway.call("GET", `/jobs/${job}`);
    expect(deltas.map(({ data }) => data.text).join("")).toBe(data.output.text);
    expect(data.output.usage.completion_tokens).toBeGreaterThan(0);
  });

  test("a client that leaves its stream: true ends the generation in Ollama", async () => {
    const before = ollama.cancelled;
    const body = { prompt: "hang", stream: true, backend: "ollama" };
    const stream = await openStream(gateway, "POST", "/llm/generate", { body });
    await stream.first("job.delta");
    stream.leave();
    await eventually("Ollama's client is gone", () => ollama.cancelled > before);
    const job = await gateway.ended(stream.headers.get("x-gateway-job")!);
    expect(job.status).toBe("cancelled");
  });

  test("models of two Ollama servers come as one list, each with its backend", async () => {
    const { status, data } = await gateway.call("GET", "/llm/models");
    expect(status).toBe(200);
    const names = (backend: string) =>
      data.filter((it: any) => it.backend === backend).map((it: any) => it.name);
    expect(names("ollama")).toContain("llama3.1:8b");
    expect(names("second")).toEqual(names("ollama"));
    const one = await gateway.call("GET", "/llm/models?backend=second");
    expect(new Set(one.data.map((it: any) => it.backend))).toEqual(new Set(["second"]));
    const none = await gateway.call("GET", "/llm/models?backend=third");
    expect([none.status, none.error.code]).toEqual([404, "NOT_FOUND"]);
  });

  test("a request that names a backend goes there", async () => {
    const before = second.bodies.length;
    const body = { prompt: "hello", backend: "second" };
    const answer = await gateway.call("POST", "/llm/generate", body, {
      headers: { prefer: "wait=10" },
    });
    expect(answer.data).toMatchObject({ status: "completed", backend: "second" });
    expect(second.bodies.length).toBeGreaterThan(before);
  });

  test("an unknown model of Ollama is refused before there is a job", async () => {
    const body = { prompt: "hello", model: "llama3.1:80b" };
    const { status, error } = await gateway.call("POST", "/llm/generate", body);
    expect([status, error.code]).toEqual([422, "VALIDATION_FAILED"]);
    expect(error.message).toContain('did you mean "llama3.1:8b"');
  });

  test("voices, backends and health", async () => {
    const voices = await gateway.call("GET", "/tts/voices?language=de");
    expect(voices.data.length).toBeGreaterThan(0);
    expect(voices.data[0]).toMatchObject({ backend: "espeak" });
    const open = await gateway.call("GET", "/health", undefined, { key: null });
    expect(open.data).toEqual({ status: "ok" });
    const wrong = await gateway.call("GET", "/health", undefined, { key: "wrong" });
    expect([wrong.status, wrong.data]).toEqual([200, { status: "ok" }]);
    const { data } = await gateway.call("GET", "/health");
    expect(data).toMatchObject({ status: "ok", queue: { pending: 0, running: 0 } });
    expect(data.runtime).toStartWith(RUNTIME);
    expect(data.devices.map((it: any) => it.name)).toEqual(["gpu0", "gpu1"]);
    const { data: backends } = await gateway.call("GET", "/backends");
    expect(data.backends.map((it: any) => it.name)).toEqual(backends.map((it: any) => it.name));
    expect(backends[1]).toMatchObject({ name: "comfyui", status: "ready", version: "0.38.1" });
    expect((await gateway.call("GET", "/ready", undefined, { key: null })).data).toEqual({
      ready: true,
    });
  });
});

describe(`backends that are down on ${RUNTIME}`, () => {
  const cleanUp: (() => unknown)[] = [];
  afterEach(async () => {
    for (const clean of cleanUp.splice(0).reverse()) await clean();
  });

  async function start(config: string): Promise<Gateway> {
    const gateway = await startGateway({ config });
    cleanUp.push(() => gateway.remove());
    return gateway;
  }

  /** A port that was free a moment ago. */
  async function freePort(): Promise<number> {
    const fake = await startFakeComfyUI();
    await fake.stop();
    return Number(new URL(fake.url).port);
  }

  const isDown = (gateway: Gateway, name: string) =>
    eventually(`${name} is down`, async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.some((it: any) => it.name === name && it.status === "down");
    });

  test("a dead backend is refused at once, with Retry-After and no job", async () => {
    const gateway = await start(
      `backends: { comfyui: { use: comfyui, url: "http://127.0.0.1:${await freePort()}" } }\n`,
    );
    await isDown(gateway, "comfyui");
    const { status, error, headers } = await gateway.call("POST", "/generate/image", {
      prompt: "a cat",
    });
    expect(status).toBe(503);
    expect(error).toMatchObject({
      code: "SERVICE_UNAVAILABLE",
      message: "ComfyUI service is not responding",
      details: { retryable: true },
    });
    expect(Number(headers.get("retry-after"))).toBeWithin(1, 61);
    expect((await gateway.call("GET", "/jobs")).data.items).toEqual([]);
    const wrong = await gateway.call("POST", "/generate/image", { prompt: 1 });
    expect(wrong.status).toBe(422);
  });

  test("when_down: queue accepts, waits, and completes when the server comes up", async () => {
    const port = await freePort();
    const gateway = await start(
      `health: { interval_ms: 100 }
backends: { comfyui: { use: comfyui, url: "http://127.0.0.1:${port}", when_down: queue } }\n`,
    );
    await isDown(gateway, "comfyui");
    const request = { prompt: "a cat steps=2", width: 64, height: 64 };
    const { status, data } = await gateway.call("POST", "/generate/image", request);
    expect(status).toBe(202);
    const waiting = (await gateway.call("GET", `/jobs/${data.job_id}`)).data;
    expect(waiting).toMatchObject({ status: "pending", queue: { wait_reason: "backend_down" } });
    const comfyui = await startFakeComfyUI({ port });
    cleanUp.push(() => comfyui.stop());
    expect(await gateway.ended(data.job_id)).toMatchObject({ status: "completed", attempts: 1 });
  });

  test("when_down: queue fails with QUEUE_TIMEOUT at start_by", async () => {
    const gateway = await start(
      `backends: { comfyui: { use: comfyui, url: "http://127.0.0.1:1", when_down: queue } }\n`,
    );
    await isDown(gateway, "comfyui");
    const start_by = new Date(Date.now() + 300).toISOString();
    const request = { prompt: "a cat", start_by };
    const { data } = await gateway.call("POST", "/generate/image", request);
    const job = await gateway.ended(data.job_id);
    expect(job).toMatchObject({ status: "failed", error: { code: "QUEUE_TIMEOUT" }, attempts: 0 });
    expect(Date.parse(job.finished_at)).toBeGreaterThanOrEqual(Date.parse(start_by));
  });

  test("the built-in voice steps in only where no other speech backend works", async () => {
    const folder = temporaryFolder();
    cleanUp.push(() => rmSync(folder, { recursive: true }));
    const alive = join(folder, "alive");
    const gateway = await start(
      `health: { interval_ms: 100 }
backends: { espeak: { use: espeak }, parrot: { use: ${PARROT}, alive: "${alive}" } }\n`,
    );
    const speak = async (body: object = {}) =>
      (await gateway.call("POST", "/tts", { text: "Hello", ...body })).headers.get(
        "x-gateway-backend",
      );
    await isDown(gateway, "parrot");
    expect(await speak()).toBe("espeak");
    writeFileSync(alive, "");
    await eventually("the parrot speaks", async () => (await speak()) === "parrot");
    expect(await speak({ backend: "espeak" })).toBe("espeak");
    rmSync(alive);
    await eventually("espeak speaks again", async () => (await speak()) === "espeak");
    const named = await gateway.call("POST", "/tts", { text: "Hello", backend: "parrot" });
    expect([named.status, named.error.message]).toEqual([503, "Parrot service is not responding"]);
  });
});
