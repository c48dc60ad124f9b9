/**
 * The conformance suite for Gradio backends from settings alone, against real Gradio servers of
 * three versions (tests/twins), and what only a real server can show of the adapter.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import {
  createTestContext,
  createTestJob,
  testPlugin,
  until,
  within,
} from "switchyard/sdk/testing";
import plugin from "../../plugins/gradio/plugin.ts";
import { MAJORS } from "../twins/environments.ts";
import { type Twin, twinsOf } from "../twins/twin.ts";
import { musicgen, NO_STOP, stable, yuegp } from "./gradio-cases.ts";

const sound = { prompt: "a bell", duration_seconds: 1 };
/** Two real servers of work share two cores with the other tests. */
const LIMIT_MS = 60_000;
const work = plugin.capabilities["audio.generate"];

for (const major of MAJORS) {
  const twins = twinsOf(major);
  const { skip, version } = twins;

  describe(`real Gradio ${version}`, () => {
    afterAll(() => twins.close());
    // The reason says what it needs and how to get it.
    if (skip !== undefined) {
      test.skip(`drives the programs of the captured signatures (${skip})`, () => {});
      return;
    }

    describe("Stable Audio", () => {
      testPlugin(plugin, {
        fake: () => twins.start("stable-audio-tools-0.0.19"),
        config: stable,
        inputs: { "audio.generate": sound },
        without: { hang: NO_STOP },
      });
    });
    describe("YuEGP", () => {
      testPlugin(plugin, {
        fake: () => twins.start("yuegp-v3"),
        config: yuegp,
        inputs: { "music.generate": { prompt: "rock", lyrics: "[verse]\nla\n" } },
        settleMs: 10_000,
      });
    });
    // Its work fails on Gradio 5 and 6, which have no make_waveform any more.
    if (major === 4) {
      describe("MusicGen", () => {
        testPlugin(plugin, {
          fake: () => twins.start("audiocraft-musicgen"),
          config: musicgen,
          inputs: { "music.generate": { prompt: "a march", duration_seconds: 1 } },
          settleMs: 10_000,
        });
      });
    }

    async function withTwin(use: (twin: Twin) => Promise<void>): Promise<void> {
      const twin = await twins.start("stable-audio-tools-0.0.19");
      try {
        await use(twin);
      } finally {
        await twin.stop();
      }
    }

    function start({ url }: Pick<Twin, "url">, prompt: string, steps = 20) {
      const ctx = createTestContext(plugin, url, { ...stable, stream_idle_ms: 30_000 });
      const job = createTestJob({ ...sound, prompt: `${prompt} steps=${steps}` });
      const ended = Promise.resolve(work.run(job, ctx)).then(
        () => undefined,
        (error: unknown) => error,
      );
      return { job, ended };
    }

    const begun = (twin: Twin, count: number): Promise<void> =>
      until(() => twin.runs.length >= count, 10_000, `run ${count} must begin`);

    test(
      "a cancelled run settles after the work, and not before",
      () =>
        withTwin(async (twin) => {
          const { job, ended } = start(twin, "drained");
          await begun(twin, 1);
          await job.cancel();
          expect(twin.ended).toBe(0);
          expect(await within(ended, 20_000, "it must settle")).toBe(job.signal.reason);
          expect(twin.ended).toBe(1);
        }),
      LIMIT_MS,
    );

    test(
      "a lost stream is told once the work is over, and not before",
      () =>
        withTwin(async (twin) => {
          const line = await lineTo(twin.url);
          const { job, ended } = start(line, "lost", 40);
          await begun(twin, 1);
          await until(() => job.progressed.length > 0, 10_000, "the stream must be open");
          line.cut();
          const error: any = await within(ended, 30_000, "it must settle");
          line.close();
          expect(error).toMatchObject({ code: "BACKEND_LOST" });
          expect(twin.ended).toBe(1);
          // What asked for its turn ran no code of the program.
          expect(twin.runs).toHaveLength(1);
        }),
      LIMIT_MS,
    );

    test(
      "work that waits is taken back and never begins",
      () =>
        withTwin(async (twin) => {
          const first = start(twin, "first", 60);
          await begun(twin, 1);
          const second = start(twin, "second");
          await until(
            () => twin.calls.filter((call) => call.endsWith("/queue/data")).length === 2,
            10_000,
            "the second one must wait",
          );
          await second.job.cancel();
          expect(await within(second.ended, 10_000, "it must settle")).toBe(
            second.job.signal.reason,
          );
          expect(await within(first.ended, 20_000, "it must end")).toBeUndefined();
          await delay(500);
          expect(twin.runs).toHaveLength(1);
        }),
      LIMIT_MS,
    );
  });
}

/** A way to a server that can be cut while the server goes on. */
async function lineTo(target: string): Promise<{ url: string; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const { hostname, port } = new URL(target);
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const close = (): void => {
    cut();
    server.close();
  };
  const { port: own } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${own}`, cut, close };
}
