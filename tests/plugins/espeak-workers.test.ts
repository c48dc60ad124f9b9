/**
 * The worker thread of the built-in voice: lazy, replaceable, cancellable, never in anyone's way.
 */
import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { BackendError } from "../../core/sdk/mod.ts";
import { createTestJob, until } from "../../core/sdk/testing/mod.ts";
import type { Spoken } from "../../plugins/espeak/protocol.ts";
import { openSpeakers, type Speakers } from "../../plugins/espeak/speakers.ts";
import { contextOf, inputOf, say, speech } from "./espeak-speech.ts";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const LONG = "Hello there, my friend. ".repeat(833);
const never = new AbortController().signal;
const open: Speakers[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((speakers) => speakers.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

interface Bench {
  readonly speakers: Speakers;
  readonly workers: Worker[];
  speak(markup: string, signal?: AbortSignal, heard?: () => void): Promise<Spoken>;
}

async function bench(idleTimeoutMs: number, start = startReal): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), "espeak-test-"));
  folders.push(folder);
  const workers: Worker[] = [];
  const speakers = openSpeakers(idleTimeoutMs, () => {
    const worker = start();
    workers.push(worker);
    return worker;
  });
  open.push(speakers);
  return {
    speakers,
    workers,
    speak: (markup, signal = never, heard = () => {}) =>
      speakers.speak(
        {
          kind: "speak",
          markup,
          voice: "gmw/en-US",
          wordsPerMinute: 175,
          pitch: 50,
          path: join(folder, `${Math.random()}.wav`),
        },
        signal,
        heard,
      ),
  };
}

function startReal(): Worker {
  return new Worker(new URL("../../plugins/espeak/worker.ts", import.meta.url));
}

/** Resolves when `heard` is called for the first time: the worker is in the middle of its work. */
function firstSign(): { heard: () => void; seen: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { heard: () => resolve(), seen: promise };
}

const codeOf = (error: unknown): unknown => (BackendError.is(error) ? error.code : error);

test("no worker lives before the first request or after the idle time; one serves many requests", async () => {
  const { speakers, workers, speak } = await bench(300);
  expect(speakers.count()).toBe(0);
  await speak("Hello");
  await speak("there");
  expect(workers.length).toBe(1);
  expect(speakers.count()).toBe(1);
  let ended = false;
  workers[0]?.once("exit", () => {
    ended = true;
  });
  await until(() => ended && speakers.count() === 0, 10_000, "the idle worker must end");
  expect((await speak("again")).samples).toBeGreaterThan(1_000);
  expect(workers.length).toBe(2);
});

test("a worker that dies loses its request only: the next one gets a new worker", async () => {
  const { speakers, workers, speak } = await bench(60_000);
  const { heard, seen } = firstSign();
  const lost = speak(LONG, never, heard).catch((error) => error);
  await seen;
  void workers[0]?.terminate();
  expect(codeOf(await lost)).toBe("BACKEND_LOST");
  expect((await speak("Hello")).samples).toBeGreaterThan(1_000);

  await workers[1]?.terminate();
  await until(() => speakers.count() === 0, 10_000, "the dead worker must be forgotten");
  expect((await speak("Hello")).samples).toBeGreaterThan(1_000);
  expect(workers.length).toBe(3);
});

test("a worker that throws, or ends at once, is a lost request and not a crash", async () => {
  for (const code of ["throw new Error('broken')", "process.exit(3)"]) {
    const { speakers, speak } = await bench(60_000, () => new Worker(code, { eval: true }));
    expect(codeOf(await speak("Hello").catch((error) => error))).toBe("BACKEND_LOST");
    expect(speakers.count()).toBe(0);
  }
});

test("an engine that fails is reported without a path, and its worker is not used again", async () => {
  const { speakers } = await bench(60_000);
  const request = {
    kind: "speak",
    markup: "Hello",
    voice: "gmw/en-US",
    wordsPerMinute: 175,
    pitch: 50,
    path: "/no/such/folder/speech.wav",
  } as const;
  const error = await speakers.speak(request, never, () => {}).catch((reason) => reason);
  expect(codeOf(error)).toBe("BACKEND_FAILED");
  expect(error.message).toContain("ENOENT");
  expect(error.message).not.toContain("/no/such");
  expect(speakers.count()).toBe(0);
});

test("a cancelled job settles at once, and the next job is served", async () => {
  const context = contextOf();
  const job = createTestJob(inputOf({ text: LONG }));
  const work = Promise.resolve(speech.run(job, context)).catch((error) => error);
  await until(() => job.progressed.length > 0, 10_000, "the work must begin");
  const asked = performance.now();
  await job.cancel();
  expect(await work).toBe(job.signal.reason);
  expect(performance.now() - asked).toBeLessThan(500);
  expect(job.artifacts).toEqual([]);
  expect((await say({ text: "Hello" }, context)).file.length).toBeGreaterThan(1_000);

  const reason = new Error("cancelled before it began");
  const early = await say({ text: "Hello" }, context, AbortSignal.abort(reason)).catch((e) => e);
  expect(early).toBe(reason);
});

test("a cancelled request ends its worker, so that nothing goes on computing", async () => {
  const { speakers, workers, speak } = await bench(60_000);
  const controller = new AbortController();
  const { heard, seen } = firstSign();
  const work = speak(LONG, controller.signal, heard).catch((error) => error);
  await seen;
  let ended = false;
  workers[0]?.once("exit", () => {
    ended = true;
  });
  controller.abort(new Error("cancelled"));
  expect((await work).message).toBe("cancelled");
  expect(speakers.count()).toBe(0);
  await until(() => ended, 3_000, "the worker must end");
});

test("the event loop goes on while a long text is said", async () => {
  const { speak } = await bench(60_000);
  let longestMs = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - last);
    last = performance.now();
  }, 5);
  const started = performance.now();
  await speak(LONG);
  clearInterval(timer);
  expect(performance.now() - started).toBeGreaterThan(500);
  expect(longestMs).toBeLessThan(200);
}, 60_000);

/** `npm test` says where Deno is; it may be in PATH where a single file is run. */
const deno = [
  process.env.SWITCHYARD_DENO ?? "",
  ...(process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "deno")),
].find((path) => path !== "" && existsSync(path));

test.skipIf(deno === undefined)(
  `Deno says the same${deno === undefined ? " (needs deno)" : ""}`,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "espeak-test-"));
    folders.push(folder);
    const script = join(folder, "say.ts");
    const shared = new URL("./espeak-speech.ts", import.meta.url).href;
    await writeFile(
      script,
      `const { contextOf, loudness, readWav, say } = await import(${JSON.stringify(shared)});
       const context = contextOf();
       const { file, output } = await say({ text: "Hello there" }, context);
       const long = "Hello there, my friend. ".repeat(833);
       const stopped = await say({ text: long }, context, AbortSignal.timeout(200)).catch((e) => e.name);
       const after = await say({ text: "Hello there" }, context);
       const wav = readWav(file);
       console.log(JSON.stringify({
         output, stopped, rms: loudness(wav.samples), same: after.file.length === file.length,
       }));`,
    );
    const args = ["run", "-A", "--node-modules-dir=manual", "--config", "deno.json", script];
    const child = Bun.spawn([deno ?? "", ...args], {
      cwd: REPOSITORY,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [printed, complaints] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect({ code: await child.exited, complaints }).toMatchObject({ code: 0 });
    const said = JSON.parse(printed);
    expect(said).toMatchObject({ output: { voice: "English (America)" }, stopped: "TimeoutError" });
    expect(said.output.duration_seconds).toBeWithin(0.6, 0.9);
    expect(said.rms).toBeGreaterThan(500);
  },
  60_000,
);
