/**
 * Work that should stop, and work that was lost: the Gradio adapter may not settle while the server
 * still computes, because the next job would compute beside it.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { until, within } from "switchyard/sdk/testing";
import { type FakeGradio, type FakeGradioOptions, startFakeGradio } from "../../fakes/gradio.ts";
import { type App, bench, MUSICGEN, STABLE, YUEGP } from "./gradio-harness.ts";

let fake: FakeGradio;
afterEach(() => fake?.stop());

/** Long enough that a wrong adapter would have settled; nothing depends on it otherwise. */
const A_WHILE_MS = 150;
const VERSIONS = ["4.44.1", "5.49.1", "6.25.0"];

async function backend(app: App, options: FakeGradioOptions = {}) {
  fake = await startFakeGradio(options);
  return bench(fake.url, app);
}

const isRunning = (): Promise<void> => {
  const { queue } = fake;
  return until(() => queue.running === 1 && fake.streams > 0, 5_000, "it must run and be followed");
};
const music = { signature: "audiocraft-musicgen", gradio: "4.44.1" } as const;

describe("the fake, as the real servers", () => {
  for (const gradio of VERSIONS) {
    test(`computes twice at once after a /cancel of a plain function, on Gradio ${gradio}`, async () => {
      fake = await startFakeGradio({ gradio });
      const prefix = gradio.startsWith("4") ? "" : "/gradio_api";
      const call = async (path: string, body: unknown): Promise<any> => {
        const text = JSON.stringify(body);
        return (await fetch(`${fake.url}${prefix}${path}`, { method: "POST", body: text })).json();
      };
      const data = ["x hang", ...Array.from({ length: 22 }, () => null)];
      const work = { data, fn_index: 2, session_hash: "one" };
      const { event_id } = await call("/queue/join", work);
      await until(() => fake.queue.running === 1, 5_000, "it must run");
      await call("/queue/join", { ...work, session_hash: "two" });
      expect(fake.queue.running).toBe(1);
      await call("/cancel", { session_hash: "one", fn_index: 2, event_id });
      await until(() => fake.queue.running === 2, 5_000, "the next one must start beside it");
    });
  }
});

describe("a cancel of work that nothing stops", () => {
  for (const gradio of VERSIONS) {
    test(`holds until the work has ended, on Gradio ${gradio}`, async () => {
      const { start } = await backend(STABLE, { gradio });
      const { job, ended, isOver } = start({ prompt: "x hang" });
      await isRunning();
      await within(job.cancel(), 5_000, "what onCancel registered must settle");
      await delay(A_WHILE_MS);
      expect(isOver()).toBe(false);
      expect(fake.calls.some((call) => call.endsWith("/cancel"))).toBe(false);
      fake.release();
      const { error } = await ended;
      expect(error).toBe(job.signal.reason);
      expect(job.artifacts).toEqual([]);
      expect(fake.queue.mostAtOnce).toBe(1);
      expect(job.stopErrors).toEqual([]);
    });
  }

  test("is the same for kill: the kernel stops the process", async () => {
    const { start } = await backend({ ...STABLE, cancel: { kind: "kill" } });
    const { job, ended, isOver } = start({ prompt: "x hang" });
    await isRunning();
    await job.cancel();
    await delay(A_WHILE_MS);
    expect(isOver()).toBe(false);
    // The process is gone.
    await fake.stop();
    expect((await within(ended, 10_000, "it must settle")).error).toBe(job.signal.reason);
  });

  test("is the same for cancel where the function is no generator", async () => {
    const { start } = await backend({ ...STABLE, cancel: { kind: "cancel" } });
    const { job, ended, isOver } = start({ prompt: "x hang" });
    await isRunning();
    await job.cancel();
    await delay(A_WHILE_MS);
    expect(isOver()).toBe(false);
    expect(fake.calls).not.toContain("POST /gradio_api/cancel");
    fake.release();
    await ended;
  });
});

describe("a cancel", () => {
  test("calls the endpoint that the program has for it", async () => {
    const { start } = await backend(MUSICGEN, music);
    const { job, ended } = start({ prompt: "x hang" });
    await isRunning();
    await job.cancel();
    const { error } = await within(ended, 5_000, "it must settle");
    expect(error).toBe(job.signal.reason);
    expect(fake.stopped).toBe(true);
    expect(fake.queue.running).toBe(0);
  });

  test("interrupts in the session of the work, where its State is", async () => {
    const { start } = await backend(YUEGP, { signature: "yuegp-v3", gradio: "6.25.0" });
    const { job, ended } = start({ prompt: "x hang" });
    await isRunning();
    await job.cancel();
    await within(ended, 5_000, "it must settle");
    expect(fake.stopped).toBe(true);
    // Null for its State.
    expect(fake.joined[1]?.data).toEqual([null]);
  });

  test("interrupts once more when the program cleared the flag as it began", async () => {
    const { start } = await backend(MUSICGEN, music);
    const { job, ended } = start({ prompt: "x hang slow-start" });
    await isRunning();
    await job.cancel();
    await within(ended, 8_000, "it must settle");
    const times = fake.joined.filter(({ fn_index }) => fn_index === 0).length;
    expect(times).toBeGreaterThan(1);
  }, 10_000);

  test("ends a generator at its next value", async () => {
    const app: App = { ...YUEGP, cancel: { kind: "cancel" } };
    const { start } = await backend(app, { signature: "yuegp-v3" });
    const { job, ended } = start({ prompt: "x hang" });
    await isRunning();
    await job.cancel();
    expect((await within(ended, 5_000, "it must settle")).error).toBe(job.signal.reason);
    expect(fake.calls).toContain("POST /gradio_api/cancel");
    await until(() => fake.queue.running === 0, 5_000, "the generator must end");
  });

  for (const gradio of VERSIONS) {
    test(`takes waiting work back, so that it never runs, on Gradio ${gradio}`, async () => {
      const { start } = await backend(STABLE, { gradio });
      const first = start({ prompt: "one hang" });
      await isRunning();
      const second = start({ prompt: "two hang" }, { attempt: 2 });
      await until(() => fake.queue.waiting === 1, 5_000, "the second one must wait");
      await second.job.cancel();
      expect((await within(second.ended, 5_000, "it must settle")).error).toBe(
        second.job.signal.reason,
      );
      await until(() => fake.queue.removed === 1, 5_000, "the server must take it out");
      fake.release();
      expect((await first.ended).error).toBeUndefined();
      expect(fake.queue.mostAtOnce).toBe(1);
    });
  }

  test("before anything was sent sends nothing", async () => {
    const { start } = await backend(STABLE);
    const { job, ended } = start({ prompt: "x" });
    await job.cancel();
    expect((await ended).error).toBe(job.signal.reason);
    expect(fake.joined).toEqual([]);
  });
});

describe("a lost stream", () => {
  for (const gradio of VERSIONS) {
    test(`is BACKEND_LOST once the work is over, on Gradio ${gradio}`, async () => {
      const { start } = await backend(STABLE, { gradio });
      const { ended, isOver } = start({ prompt: "x hang" });
      await isRunning();
      fake.dropStreams();
      await delay(A_WHILE_MS);
      expect(isOver()).toBe(false);
      expect(fake.queue.running).toBe(1);
      fake.release();
      expect((await within(ended, 10_000, "it must settle")).error).toMatchObject({
        code: "BACKEND_LOST",
      });
      // What asked for its turn never ran.
      expect(fake.queue.running).toBe(0);
      expect(fake.queue.mostAtOnce).toBe(1);
    });
  }

  test("ends at once when the program was started anew", async () => {
    const { start } = await backend(STABLE);
    const { ended } = start({ prompt: "x hang" });
    await isRunning();
    fake.restart();
    expect((await within(ended, 5_000, "it must settle")).error).toMatchObject({
      code: "BACKEND_LOST",
    });
  });

  test("ends when nobody answers any more", async () => {
    const { start } = await backend(STABLE);
    const { ended } = start({ prompt: "x hang" });
    await isRunning();
    await fake.stop();
    expect((await within(ended, 10_000, "it must settle")).error).toMatchObject({
      code: "BACKEND_LOST",
    });
  });

  test("holds a cancelled job as well", async () => {
    const { start } = await backend(STABLE);
    const { job, ended, isOver } = start({ prompt: "x hang" });
    await isRunning();
    await job.cancel();
    fake.dropStreams();
    await delay(A_WHILE_MS);
    expect(isOver()).toBe(false);
    fake.release();
    expect((await within(ended, 10_000, "it must settle")).error).toBe(job.signal.reason);
  });

  test("is a silent one, too", async () => {
    const { start } = await backend({ ...STABLE, streamIdleMs: 100 });
    const { ended } = start({ prompt: "x hang" });
    await isRunning();
    await delay(A_WHILE_MS);
    fake.release();
    expect((await within(ended, 10_000, "it must settle")).error).toMatchObject({
      code: "BACKEND_LOST",
    });
  });

  test("is one whose messages are none, or have no end", async () => {
    for (const text of ["not json", JSON.stringify({ no: "msg" }), "x".repeat(9 * 1024 * 1024)]) {
      let isFirst = true;
      const { start } = await backend(STABLE, {
        garble: (message) => {
          if (message.msg !== "process_starts" || !isFirst) return message;
          isFirst = false;
          return text;
        },
      });
      const { error } = await within(start({ prompt: "x" }).ended, 10_000, "it must settle");
      expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
      expect(error.message.length).toBeLessThan(400);
      expect(fake.queue.running).toBe(0);
      await fake.stop();
    }
  }, 20_000);
});

describe("an answer to a call that was lost", () => {
  test("is no loss: the stream tells the rest", async () => {
    const { start } = await backend(STABLE, { cutJoin: "after" });
    const { job, ended } = start({ prompt: "x" });
    const { output, error } = await within(ended, 10_000, "it must settle");
    expect(error).toBeUndefined();
    expect(output.files).toHaveLength(1);
    expect(job.artifacts).toHaveLength(2);
    expect(fake.joined).toHaveLength(1);
  });

  test("is told at once when the server knows nothing of the call", async () => {
    for (const gradio of VERSIONS) {
      const { start } = await backend(STABLE, { cutJoin: "before", gradio });
      const { error } = await within(start({ prompt: "x" }).ended, 10_000, "it must settle");
      expect(["BACKEND_UNREACHABLE", "BACKEND_BAD_OUTPUT"]).toContain(error.code);
      expect(fake.joined).toHaveLength(0);
      await fake.stop();
    }
  });
});

describe("a server that changed", () => {
  test("is looked at again after a restart", async () => {
    const { start, health } = await backend(STABLE);
    await health();
    fake.restart({ gradio: "5.50.0" });
    expect(await health()).toEqual({ status: "ready", version: "Gradio 5.50.0" });
    expect((await start({ prompt: "x" }).ended).error).toBeUndefined();
    fake.restart({ signature: "yuegp-v3" });
    expect((await start({ prompt: "x" }).ended).error).toMatchObject({ code: "BACKEND_MISMATCH" });
  });
});

describe("a gateway that died", () => {
  test("finds its work in the folder, and is busy until it is over", async () => {
    const folder = mkdtempSync(join(tmpdir(), "switchyard-gradio-"));
    fake = await startFakeGradio();
    // The first gateway: its run never ends, and its connection breaks as it dies.
    const first = bench(fake.url, STABLE, folder).start({ prompt: "x hang" });
    await until(() => noted(folder).length === 1, 5_000, "the work must be noted");
    await isRunning();
    const copy = mkdtempSync(join(tmpdir(), "switchyard-gradio-"));
    mkdirSync(join(copy, "gradio"));
    const [name = ""] = noted(folder);
    writeFileSync(join(copy, "gradio", name), await Bun.file(join(folder, "gradio", name)).text());

    const second = bench(fake.url, STABLE, copy);
    expect(await second.health()).toMatchObject({ status: "ready", busy: true });
    await delay(A_WHILE_MS);
    expect(await second.health()).toMatchObject({ busy: true });
    fake.release();
    await first.ended;
    let health: unknown;
    for (let tries = 0; tries < 100 && (health as any)?.busy !== undefined; tries++) {
      await delay(20);
      health = await second.health();
    }
    await until(() => noted(copy).length === 0, 5_000, "the note must go");
    expect(await second.health()).toEqual({ status: "ready", version: "Gradio 5.49.1" });
    rmSync(folder, { recursive: true });
    rmSync(copy, { recursive: true });
  });

  test("passes over notes of a program that was started anew, and over what is no note", async () => {
    const folder = mkdtempSync(join(tmpdir(), "switchyard-gradio-"));
    mkdirSync(join(folder, "gradio"));
    const old = { session: "abc", endpoint: "/generate", appId: "1" };
    writeFileSync(join(folder, "gradio", "abc.json"), JSON.stringify(old));
    writeFileSync(join(folder, "gradio", "bad.json"), "{");
    fake = await startFakeGradio();
    const { health } = bench(fake.url, STABLE, folder);
    expect(await health()).toEqual({ status: "ready", version: "Gradio 5.49.1" });
    expect(noted(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });
});

function noted(folder: string): string[] {
  try {
    return readdirSync(join(folder, "gradio"));
  } catch {
    return [];
  }
}
