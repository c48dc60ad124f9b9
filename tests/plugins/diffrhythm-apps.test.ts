/**
 * The DiffRhythm plugin and two Gradio apps: conformance on each Gradio, what the calls carry, and
 * what is ugly. The signatures were captured from the real pages (tests/fixtures/gradio/diffrhythm-*.json).
 */
import { describe, expect, onTestFinished, test } from "bun:test";
import type { BackendError } from "switchyard/sdk";
import {
  createTestContext,
  createTestJob,
  testPlugin,
  until,
  within,
} from "switchyard/sdk/testing";
import plugin from "../../plugins/diffrhythm/plugin.ts";
import { type FakeGradioOptions, type Signature, startFakeGradio } from "../fakes/gradio.ts";
import { wavBytes } from "../fakes/yue/sound.ts";
import spaceSignature from "../fixtures/gradio/diffrhythm-space.json";
import webSignature from "../fixtures/gradio/diffrhythm-web.json";
import { startingOver } from "../twins/conformance.ts";

const LIMIT_MS = 20_000;
const NOTHING_STOPS = "nothing stops the app's work; it is waited for";
const ID = "7a1de9d2-b45d-4bd6-8a39-6f8a3f5cbb10";
const capability = plugin.capabilities["music.generate"];
const signatures = { space: spaceSignature as Signature, web: webSignature as Signature };
type App = keyof typeof signatures;

const recording = () => new File([wavBytes()], "../../evil name.wav", { type: "audio/wav" });
const tested = startingOver(plugin);
const files = { [ID]: recording() };

for (const gradio of ["4.44.1", "5.49.1", "6.31.0"]) {
  testPlugin(tested, {
    fake: () => startFakeGradio({ signature: signatures.space, gradio }),
    files,
    // Its style is the recording, so that words can only stand in the lyrics.
    inputs: { "music.generate": { prompt: "x", init_audio: { artifact_id: ID } } },
    withPrompt: (input, words) => ({ ...input, lyrics: `all ${words} green` }),
    without: { hang: NOTHING_STOPS },
  });
  testPlugin(tested, {
    fake: () => startFakeGradio({ signature: signatures.web, gradio, garble }),
    without: { hang: NOTHING_STOPS },
  });
}

/** As this app says it: errors are a success, with the traceback and without a file. */
function garble(message: Record<string, any>): Record<string, any> {
  if (message.msg !== "process_completed") return message;
  const { data, error } = message.output ?? {};
  if (data?.[0] === "done") data[0] = "Generation complete!";
  if (message.success || error === undefined) return message;
  const trace = `Error: ${error}\n\nTraceback:\nTraceback (most recent call last):\n  File "/srv/server.py"`;
  return {
    ...message,
    success: true,
    output: { data: [`${trace}\nRuntimeError: ${error}\n`, null] },
  };
}

async function begin(app: App, options: FakeGradioOptions = {}) {
  const own = app === "web" ? { garble } : {};
  const fake = await startFakeGradio({ signature: signatures[app], ...own, ...options });
  onTestFinished(() => fake.stop());
  return { fake, ctx: createTestContext(plugin, fake.url) };
}

type Given = Awaited<ReturnType<typeof begin>>;

function start({ ctx }: Given, input: Record<string, unknown>) {
  const files = { [ID]: recording() };
  const job = createTestJob({ prompt: "folk", duration_seconds: 95, ...input }, { files });
  const outcome = Promise.resolve(capability.run(job, ctx)).catch((error: BackendError) => error);
  return { job, outcome: within(outcome, LIMIT_MS, "the run must settle") };
}

const code = (outcome: unknown) => (outcome as { code?: string }).code;
const said = (outcome: unknown) => String((outcome as Error).message);
const recorded = { init_audio: { artifact_id: ID } };

describe("the app of the Space", () => {
  test("is found out by its parameters, and gets the recording under no name of a client", async () => {
    const given = await begin("space");
    const health = await plugin.health(given.ctx, AbortSignal.timeout(LIMIT_MS));
    expect(JSON.stringify(health)).toContain("space");
    const { job, outcome } = start(given, { ...recorded, seed: 77, lyrics: "All signals green" });
    expect(await outcome).toEqual({ files: ["/artifacts/artifact-1"], seed: 77 });
    const [{ data = [] } = {}] = given.fake.joined;
    const [lrc, audio, seed, randomize, , type] = data as any[];
    expect(lrc).toBe("[00:07.60]All signals green\n[01:34.99]end");
    expect(audio.path).not.toContain("evil");
    expect([seed, randomize, type]).toEqual([77, false, "wav"]);
    expect(job.artifacts[0]?.name).toBe("song.wav");
  });

  test("without lyrics gets empty ones, not those of its own example", async () => {
    const given = await begin("space");
    await start(given, recorded).outcome;
    expect(given.fake.joined[0]?.data[0]).toBe("");
  });

  test("a seed is chosen and told where the request has none, the same for every attempt", async () => {
    const given = await begin("space");
    const outputs = [await start(given, recorded).outcome, await start(given, recorded).outcome];
    const [first, second] = outputs.map((output) => (output as { seed?: number }).seed);
    expect(first).toBeNumber();
    expect(second).toBe(first ?? 0);
  });

  test("a style in words is refused with the reason before anything is sent", async () => {
    const given = await begin("space");
    const outcome = await start(given, {}).outcome;
    expect(code(outcome)).toBe("BACKEND_REJECTED");
    expect(said(outcome)).toContain("cannot be reached over its API");
    expect(given.fake.joined).toHaveLength(0);
  });

  test("a length that this release does not know is refused", async () => {
    const given = await begin("space");
    const outcome = await start(given, { ...recorded, duration_seconds: 285 }).outcome;
    expect(said(outcome)).toContain("95 seconds only");
  });

  test("of a release with a length and a State both are filled in", async () => {
    const given = await begin("space", { signature: newer(signatures.space) });
    const input = { ...recorded, duration_seconds: 285, cfg: 3 };
    expect(await start(given, input).outcome).toHaveProperty("files");
    const [{ data = [] } = {}] = given.fake.joined;
    expect(data.slice(6)).toEqual([null, 3, "285s"]);
  });

  test("a cancel settles when the app has ended its work", async () => {
    const given = await begin("space");
    const { job, outcome } = start(given, { ...recorded, lyrics: "all hang green" });
    await until(() => given.fake.queue.running === 1, LIMIT_MS, "it must work");
    await job.cancel();
    expect(given.fake.queue.running).toBe(1);
    given.fake.release();
    expect(said(await outcome)).toContain("cancelled");
    expect(job.artifacts).toHaveLength(0);
    expect(given.fake.queue.mostAtOnce).toBe(1);
  });
});

describe("DiffRhythm-web", () => {
  test("gets the style in words, and decoding in pieces whatever it has as default", async () => {
    const given = await begin("web");
    const style = 'folk $(reboot) `id` "quoted"';
    const { outcome } = start(given, { style, lyrics: "All signals green", duration_seconds: 285 });
    expect(await outcome).toHaveProperty("files");
    const [genre, lyrics, length, recording, chunked] = given.fake.joined[0]?.data ?? [];
    expect([genre, length, recording, chunked]).toEqual([style, "285s", null, true]);
    expect(lyrics).toStartWith("[00:10.00]All signals green");
  });

  test("a traceback told as success is a failure, of which its last line is shown", async () => {
    const given = await begin("web");
    const outcome = await start(given, { prompt: "fail" }).outcome;
    expect(code(outcome)).toBe("BACKEND_FAILED");
    expect(said(outcome)).toContain("RuntimeError: the work failed");
    expect(said(outcome)).not.toContain("server.py");
  });
});

/** As release 1.2 is described: a State in the middle, guidance, and a length. */
function newer({ info, dependencies }: Signature): Signature {
  const [[name = "", endpoint] = []] = Object.entries(info.named_endpoints);
  const [dependency] = dependencies;
  if (endpoint === undefined || dependency === undefined) throw new Error("no endpoint");
  const parameter = (parameter_name: string, component: string, type: unknown, value: unknown) => ({
    ...{ label: parameter_name, parameter_name, component, type },
    ...{ parameter_has_default: true, parameter_default: value },
  });
  const parameters = [
    ...endpoint.parameters,
    parameter("cfg_strength", "Slider", { type: "number" }, 4),
    parameter("Music_Duration", "Radio", { enum: ["95s", "285s"], type: "string" }, "95s"),
  ];
  const inputs = [...dependency.inputs, "state", "slider", "radio"];
  return {
    info: { named_endpoints: { [name]: { ...endpoint, parameters } } },
    dependencies: [{ ...dependency, inputs }],
  };
}
