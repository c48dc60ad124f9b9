/**
 * REL-09: a gateway that was killed while a backend holds most of the device knows, before it
 * grants anything, what is there; and the device is never over-committed, before, between or after.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eventually, type Gateway, startGateway } from "../gateway.ts";
import {
  createYard,
  isRunning,
  logged,
  MUTE_SERVER,
  runJob,
  submitJob,
  type Yard,
} from "./vram-yard.ts";

const LIMIT_MS = 60_000;
const HELD_MIB = 18_432;
/** Fits beside it, and does not. */
const SMALL_MIB = 5_120;
const LARGE_MIB = 8_192;

describe("REL-09, the truth about VRAM after a kill -9", () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeEach(async () => {
    yard = await createYard();
  });
  afterEach(async () => {
    await gateway?.remove();
    await yard.close();
  });

  const start = async (useKey?: string) => {
    gateway = await startGateway({ folder: yard.folder, config: yard.config(), useKey });
  };
  const restart = async () => {
    await gateway.stop("SIGKILL");
    await start(gateway.key);
  };
  const jobOf = async (id: string) => (await gateway.call("GET", `/jobs/${id}`)).data;
  const running = (id: string) =>
    eventually(`${id} runs`, async () => (await jobOf(id)).status === "running");
  const devices = async () => (await gateway.call("GET", "/vram")).data.devices[0];
  const adopted = () => logged(gateway, "a running process was adopted");

  test(
    "its process is adopted, a job goes on where it was, and only what fits beside it is granted",
    async () => {
      await yard.add("big", { models: { held: { mib: HELD_MIB } } });
      // Light ones, which may compute beside it.
      const more = { runs_ms: 50 };
      await yard.add("small", { models: { small: { mib: SMALL_MIB } }, more });
      await yard.add("large", { models: { large: { mib: LARGE_MIB } }, more });
      await start();
      const long = await submitJob(gateway, "big", { route: "/generate/video", ms: 6_000 });
      await running(long);
      const pid = await yard.pid("big");
      expect(yard.usedMiB).toBe(HELD_MIB);

      await restart();
      const large = await submitJob(gateway, "large");
      const small = await submitJob(gateway, "small");
      expect(adopted()).toMatchObject([{ backend: "big", pid }]);
      expect((await gateway.ended(small)).status).toBe("completed");
      // Nothing has room for the large one while the adopted job computes.
      expect((await jobOf(large)).status).toBe("pending");
      expect((await jobOf(long)).status).toBe("running");
      const { held_mib, foreign_mib, used_mib } = await devices();
      expect([held_mib, foreign_mib]).toEqual([HELD_MIB + SMALL_MIB, 0]);
      expect(used_mib).toBe(HELD_MIB + SMALL_MIB);

      expect(await gateway.ended(long)).toMatchObject({ status: "completed", attempts: 2 });
      expect(await yard.ask("big", "GET", `/executions/${long}`)).toEqual({ executions: 1 });
      expect((await gateway.ended(large)).status).toBe("completed");
      expect(await yard.pid("big")).toBe(pid);
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
    },
    LIMIT_MS,
  );

  test(
    "a job that cannot be asked for runs once more, on the same process, before anything else",
    async () => {
      await yard.add("big", { models: { held: { mib: HELD_MIB } } });
      await yard.add("large", { models: { large: { mib: LARGE_MIB } } });
      await start();
      const job = await submitJob(gateway, "big", { ms: 1_500 });
      await running(job);
      const pid = await yard.pid("big");
      await restart();
      const large = await submitJob(gateway, "large");
      expect(await gateway.ended(job)).toMatchObject({ status: "completed", attempts: 2 });
      expect((await gateway.ended(large)).status).toBe("completed");
      const runs = (await yard.ask("big", "GET", "/journal")).filter(
        ({ kind }: any) => kind === "run",
      );
      expect(runs.length).toBe(2);
      expect(await yard.pid("big")).toBe(pid);
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
    },
    LIMIT_MS,
  );

  test(
    "a server that cannot say what it holds is counted with what the probe measures, and leaves when it must",
    async () => {
      await yard.add("mute", { models: { held: { mib: HELD_MIB } }, more: { use: MUTE_SERVER } });
      await yard.add("small", { models: { small: { mib: SMALL_MIB } } });
      await yard.add("large", { models: { large: { mib: LARGE_MIB } } });
      await start();
      expect((await runJob(gateway, "mute")).status).toBe("completed");
      const pid = await yard.pid("mute");
      await restart();
      expect((await runJob(gateway, "small")).status).toBe("completed");
      expect(isRunning(pid)).toBe(true);
      expect((await devices()).residents).toMatchObject([
        { backend: "mute", resident_mib: HELD_MIB },
        { backend: "small", resident_mib: SMALL_MIB },
      ]);
      expect((await runJob(gateway, "large")).status).toBe("completed");
      expect(isRunning(pid)).toBe(false);
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
    },
    LIMIT_MS,
  );

  test(
    "a server that nobody supervises keeps what it holds, and is asked for it",
    async () => {
      await yard.add("own", { models: { held: { mib: HELD_MIB } }, supervised: false });
      await yard.add("large", { models: { large: { mib: LARGE_MIB } } });
      await yard.startServer("own");
      await start();
      await eventually("it is ready", async () => {
        const { data } = await gateway.call("GET", "/backends");
        return data.some(({ name, status }: any) => name === "own" && status === "ready");
      });
      const job = await submitJob(gateway, "own", { route: "/generate/video", ms: 3_000 });
      await running(job);
      await restart();
      const large = await submitJob(gateway, "large");
      expect(await gateway.ended(job)).toMatchObject({ status: "completed", attempts: 2 });
      expect((await gateway.ended(large)).status).toBe("completed");
      expect(await yard.ask("own", "GET", "/residents")).toEqual([]);
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
    },
    LIMIT_MS,
  );

  test(
    "killed while a model is on its way in, it counts what the half-loaded model takes",
    async () => {
      await yard.add("big", { models: { held: { mib: HELD_MIB, load_ms: 2_500 } } });
      await yard.add("large", { models: { large: { mib: LARGE_MIB } } });
      await start();
      const first = await submitJob(gateway, "big");
      await eventually("the load has begun", () => yard.usedMiB === HELD_MIB);
      await restart();
      const second = await submitJob(gateway, "large");
      expect((await gateway.ended(first, 30_000)).status).toBe("completed");
      expect((await gateway.ended(second, 30_000)).status).toBe("completed");
      expect(yard.peakMiB).toBe(HELD_MIB);
    },
    LIMIT_MS,
  );

  test(
    "killed again and again while models come and go, the device never holds more than it has",
    async () => {
      await yard.add("a", { models: { a: { mib: 14_336, load_ms: 150 } } });
      await yard.add("b", { models: { b: { mib: 9_216, load_ms: 100 } } });
      await yard.add("c", { models: { c: { mib: 16_384, load_ms: 200 } } });
      await start();
      const jobs: string[] = [];
      for (let round = 0; round < 4; round++) {
        for (const backend of ["a", "b", "c"]) {
          const ms = 40 + 60 * round;
          jobs.push(await submitJob(gateway, backend, { ms }));
          jobs.push(await submitJob(gateway, backend, { route: "/generate/video", ms }));
        }
        // In the middle of it, at another point each time.
        const enough = jobs.length - 4 + round;
        await eventually(
          `${enough} jobs began`,
          async () => {
            const { data } = await gateway.call("GET", "/jobs?limit=100");
            return data.items.filter((it: any) => it.status !== "pending").length >= enough;
          },
          20_000,
        );
        await restart();
      }
      for (const id of jobs) {
        expect((await gateway.ended(id, 30_000)).status).toBe("completed");
      }
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
      expect(yard.peakMiB).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});
