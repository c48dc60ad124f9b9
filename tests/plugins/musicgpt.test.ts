/** The MusicGPT plugin against its stand-in, which has the real server's defects. */
import { describe, expect, onTestFinished, test } from "bun:test";
import type { BackendError } from "switchyard/sdk";
import {
  createTestContext,
  createTestJob,
  testPlugin,
  until,
  within,
} from "switchyard/sdk/testing";
import plugin from "../../plugins/musicgpt/plugin.ts";
import { type FakeMusicGPTOptions, startFakeMusicGPT } from "../fakes/musicgpt.ts";

const LIMIT_MS = 20_000;
const capability = plugin.capabilities["music.generate"];
const soon = () => AbortSignal.timeout(LIMIT_MS);

testPlugin(plugin, {
  fake: () => startFakeMusicGPT(),
  submits: { "music.generate": "WS GenerateAudioNewChat" },
});

async function begin(options: FakeMusicGPTOptions = {}, settings: Record<string, unknown> = {}) {
  const fake = await startFakeMusicGPT(options);
  onTestFinished(() => fake.stop());
  return { fake, ctx: createTestContext(plugin, fake.url, settings) };
}

type Given = Awaited<ReturnType<typeof begin>>;

function start(
  { ctx }: Given,
  prompt: string,
  options: Parameters<typeof createTestJob>[1] & { seconds?: number } = {},
) {
  const { seconds = 2, ...rest } = options;
  const job = createTestJob({ prompt, duration_seconds: seconds }, rest);
  const outcome = Promise.resolve(capability.run(job, ctx)).catch((error: BackendError) => error);
  return { job, outcome: within(outcome, LIMIT_MS, "the run must settle") };
}

/** A gateway that goes no further than the end of the work on the server. */
const diesBeforeItFetches = ({ fake, ctx }: Given): Given => ({
  fake,
  ctx: { ...ctx, http: { ...ctx.http, fetch: () => new Promise(() => {}) } },
});

const code = (outcome: unknown) => (outcome as { code?: string }).code;
const said = (outcome: unknown) => String((outcome as Error).message);

describe("a generation", () => {
  test("stores the audio, names model and device, and leaves no chat behind", async () => {
    const given = await begin({ model: "MusicGen Medium Fp16" }, { model: "medium-fp16" });
    const { job, outcome } = start(given, "calm piano");
    expect(await outcome).toEqual({
      files: ["/artifacts/artifact-1"],
      model: "medium-fp16",
      device: "Cpu",
    });
    expect(job.artifacts.map(({ mediaType }) => mediaType)).toEqual(["audio/wav"]);
    await until(() => given.fake.chats === 0, LIMIT_MS, "the chat must go");
    await until(() => given.fake.sockets === 0, LIMIT_MS, "the sockets must be closed");
  });

  test("progress comes from tokens, and the last three that are not told mean decoding", async () => {
    const given = await begin();
    const { job, outcome } = start(given, "calm piano", { seconds: 1 });
    await outcome;
    const notes = job.progressed.map(({ note }) => note);
    expect(notes.at(-1)).toBe("decoding");
    expect(notes.filter((note) => note === "decoding")).toHaveLength(1);
    const fractions = job.progressed.map(({ fraction }) => fraction ?? 0);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(fractions.length).toBeGreaterThan(10);
  });

  test("sends prompts of every kind as they are, and no path is made of them", async () => {
    const given = await begin();
    const prompt = '$(reboot) `id` "quote" \n ../../etc/passwd \u0000 {{x}} é';
    const { outcome } = start(given, prompt);
    expect(await outcome).toHaveProperty("files");
    expect(given.fake.prompts).toEqual([prompt]);
    const paths = given.fake.calls.filter((call) => call.startsWith("GET /files/"));
    expect(paths).toHaveLength(1);
    expect(paths[0]).toMatch(/^GET \/files\/audios\/[0-9a-f-]{36}\.wav$/);
  });

  test("another attempt has ids of its own, the same attempt always the same", async () => {
    const given = await begin();
    await start(given, "one").outcome;
    await start(given, "one", { attempt: 2 }).outcome;
    await start(given, "one").outcome;
    const [first, second, third] = given.fake.requests;
    expect(second).not.toBe(first);
    expect(third).toBe(first);
    expect(new Set([first, second].flatMap((pair) => pair?.split(" "))).size).toBe(4);
  });

  test("a failure's text and a foreign abort come through, and the chat goes", async () => {
    const given = await begin();
    expect(said(await start(given, "fail").outcome)).toContain("MatMul");
    const { job, outcome } = start(given, "hang");
    await until(() => job.progressed.length > 1, LIMIT_MS, "it must work");
    const [chat_id, id] = given.fake.requests.at(-1)?.split(" ") ?? [];
    const other = new WebSocket(`${given.fake.url.replace("http", "ws")}/ws`);
    onTestFinished(() => other.close());
    await new Promise((open) => other.addEventListener("open", open));
    other.send(JSON.stringify({ AbortGeneration: { id, chat_id } }));
    expect(said(await outcome)).toContain("for another client");
    expect(code(await outcome)).toBe("BACKEND_FAILED");
    await until(() => given.fake.chats === 0, LIMIT_MS, "the chats must go");
  });
});

describe("a line that says nothing", () => {
  test("a subscription that ended in silence is noticed, and the result is found", async () => {
    const given = await begin({ tokenMs: 1 }, { silence_timeout_ms: 300 });
    const { job, outcome } = start(given, "calm piano steps=20");
    await until(() => job.progressed.length > 2, LIMIT_MS, "it must work");
    given.fake.deafen();
    expect(await outcome).toHaveProperty("files");
    expect(given.fake.requests).toHaveLength(1);
  });

  test("dropped sockets are opened again while the work goes on", async () => {
    const given = await begin({ tokenMs: 30 });
    const { job, outcome } = start(given, "calm piano steps=90");
    for (const enough of [2, 10]) {
      await until(() => job.progressed.length > enough, LIMIT_MS, "it must work");
      given.fake.dropSockets();
    }
    expect(await outcome).toHaveProperty("files");
    expect(given.fake.requests).toHaveLength(1);
  });

  test("decoding may be silent for longer, and counts as a sign of life", async () => {
    const given = await begin({ decodeMs: 1_500 }, { silence_timeout_ms: 100 });
    const { job, outcome } = start(given, "calm piano steps=5", { seconds: 1 });
    expect(await outcome).toHaveProperty("files");
    const alive = job.progressed.filter(({ fraction }) => fraction === undefined);
    expect(alive.length).toBeGreaterThan(1);
  });

  test("work that a restart of the server lost is BACKEND_LOST, after a few looks", async () => {
    const given = await begin({}, { silence_timeout_ms: 100 });
    const { job, outcome } = start(given, "hang");
    await until(() => job.progressed.length > 1, LIMIT_MS, "it must work");
    given.fake.restart();
    expect(code(await outcome)).toBe("BACKEND_LOST");
    expect(given.fake.requests).toHaveLength(1);
  });
});

describe("a cancel", () => {
  test("settles when the server has ended the work, and not before", async () => {
    const given = await begin({ tokenMs: 20 });
    const { job, outcome } = start(given, "calm piano steps=100");
    await until(() => job.progressed.length > 1, LIMIT_MS, "it must work");
    await job.cancel();
    expect(said(await outcome)).toContain("cancelled");
    const next = start(given, "the next one", { id: "01890a5d-ac96-774b-bcce-b302099a8059" });
    expect(await next.outcome).toHaveProperty("files");
    expect(given.fake.requests).toHaveLength(2);
    await until(() => given.fake.chats === 0, LIMIT_MS, "the chats must go");
  });

  test("while it decodes, waits for the end that no abort can hasten", async () => {
    const given = await begin({ decodeMs: 1_200 });
    const { job, outcome } = start(given, "calm piano steps=3", { seconds: 1 });
    const decoding = () => job.progressed.some(({ note }) => note === "decoding");
    await until(decoding, LIMIT_MS, "it must decode");
    await job.cancel();
    await outcome;
    expect(given.fake.files.size).toBe(1);
    expect(job.artifacts).toHaveLength(0);
  });

  test("of work that waits behind another client's settles without an answer", async () => {
    const given = await begin();
    const other = start(given, "hang", { id: "01890a5d-ac96-774b-bcce-b302099a8059" });
    await until(() => other.job.progressed.length > 1, LIMIT_MS, "it must work");
    const { job, outcome } = start(given, "calm piano");
    await until(() => given.fake.requests.length === 2, LIMIT_MS, "it must be queued");
    await job.cancel();
    expect(said(await outcome)).toContain("cancelled");
    await other.job.cancel();
    await other.outcome;
  });
});

describe("a restart of the gateway", () => {
  test("finds the finished work by its chat and does not ask for it again", async () => {
    const given = await begin({ tokenMs: 1 });
    const dead = diesBeforeItFetches(given);
    const first = start(dead, "calm piano steps=20");
    await until(() => given.fake.requests.length === 1, LIMIT_MS, "it must be sent");
    const steps = new Map(first.job.steps);
    expect([...steps.keys()]).toEqual(["ids"]);
    await until(() => given.fake.files.size === 1, LIMIT_MS, "the server must finish");
    const again = start(given, "calm piano steps=20", { attempt: 2, steps });
    expect(await again.outcome).toHaveProperty("files");
    expect(given.fake.requests).toHaveLength(1);
    first.outcome.catch(() => {});
  });

  test("a gateway that stops leaves the work and its chat to its successor", async () => {
    const given = await begin({ tokenMs: 5 });
    const stopping = new AbortController();
    const job = createTestJob({ prompt: "calm piano steps=60", duration_seconds: 2 });
    const run = Promise.resolve(capability.run({ ...job, signal: stopping.signal }, given.ctx));
    const outcome = run.catch((error: unknown) => error);
    await until(() => job.progressed.length > 2, LIMIT_MS, "it must work");
    stopping.abort(Object.assign(new Error("the gateway stops"), { code: "SHUTTING_DOWN" }));
    expect(said(await within(outcome, LIMIT_MS, "the run must settle"))).toContain("gateway stops");
    expect(given.fake.stopped).toBe(false);
    const again = start(given, "calm piano steps=60", { attempt: 2, steps: job.steps });
    expect(await again.outcome).toHaveProperty("files");
    expect(given.fake.requests).toHaveLength(1);
  });

  test("after the generation only fetches, also when the chat is gone", async () => {
    const given = await begin();
    const first = start(given, "calm piano");
    await first.outcome;
    await until(() => given.fake.chats === 0, LIMIT_MS, "the chat must go");
    const again = start(given, "calm piano", { attempt: 2, steps: first.job.steps });
    expect(await again.outcome).toHaveProperty("files");
    expect(again.job.artifacts).toHaveLength(1);
    expect(given.fake.requests).toHaveLength(1);
  });
});

describe("who answers", () => {
  test("the page that every path gives is no proof of MusicGPT", async () => {
    const page = { headers: { "content-type": "text/html" } };
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("<!doctype html><title>MusicGPT</title>", page),
    });
    onTestFinished(() => server.stop(true));
    const ctx = createTestContext(plugin, `http://127.0.0.1:${server.port}`);
    const error = await plugin.health(ctx, soon()).catch((thrown: unknown) => thrown);
    expect(code(error)).toBe("BACKEND_MISMATCH");
  });

  test("another program's WebSocket is none of it", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: { open: (socket) => void socket.send('{"type":"status"}'), message() {} },
    });
    onTestFinished(() => server.stop(true));
    const ctx = createTestContext(plugin, `http://127.0.0.1:${server.port}`);
    const error = await plugin.health(ctx, soon()).catch((thrown: unknown) => thrown);
    expect(code(error)).toBe("BACKEND_MISMATCH");
  });

  test("another model than the settings say is degraded, because memory is counted by them", async () => {
    const { ctx } = await begin({ model: "MusicGen Large" });
    expect(await plugin.health(ctx, soon())).toMatchObject({ status: "degraded" });
    expect(await plugin.models?.(ctx, soon())).toEqual([
      { name: "large", title: "MusicGen Large", device: "Cpu" },
    ]);
  });
});

describe("memory", () => {
  test("is the model's alone, by the setting where there is one", () => {
    const settings = (changes: Record<string, unknown>) =>
      createTestContext(plugin, undefined, changes).config;
    const cost = (changes: Record<string, unknown>, seconds = 8) =>
      capability.vram?.({ prompt: "x", duration_seconds: seconds }, settings(changes));
    expect(cost({ model: "large" })?.residentMiB).toBeGreaterThan(cost({})?.residentMiB ?? 0);
    expect(cost({ resident_mib: 0 })).toEqual({
      model: "small",
      residentMiB: 0,
      workingMiB: 0,
      size: 8,
    });
    expect(cost({}, 30)?.model).toBe(cost({}, 1)?.model ?? "");
  });
});
