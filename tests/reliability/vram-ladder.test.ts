/**
 * The reclaim ladder against processes that really hold memory: what a verb says is not believed,
 * what the probe sees is.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eventually, type Gateway, startGateway } from "../gateway.ts";
import {
  createYard,
  hostMiB,
  isRunning,
  logged,
  MIB_PER_HOST_MIB,
  MUTE_SERVER,
  runJob,
  submitJob,
  type Yard,
} from "./vram-yard.ts";

const LIMIT_MS = 60_000;

describe("models that must leave", () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeEach(async () => {
    yard = await createYard();
  });
  afterEach(async () => {
    await gateway?.remove();
    await yard.close();
  });
  const start = async () => {
    gateway = await startGateway({ folder: yard.folder, config: yard.config() });
  };
  const vram = async () => (await gateway.call("GET", "/vram")).data;
  const verbs = () =>
    logged(gateway, "models left a device").map(({ attempts }) =>
      attempts.map(({ verb, believed }: any) => `${verb} ${believed ? "worked" : "did not work"}`),
    );

  test(
    "a process whose free lies is stopped, and its memory is really gone; twice, and it is no longer asked",
    async () => {
      await yard.add("liar", { models: { big: { mib: 14_336 } }, server: { lies: true } });
      await yard.add("honest", { models: { large: { mib: 16_384 } } });
      await start();
      expect((await vram()).processes.map(({ state }: any) => state)).toEqual([
        "stopped",
        "stopped",
      ]);

      // Started by the first job that needs it.
      expect((await runJob(gateway, "liar")).status).toBe("completed");
      const pid = await yard.pid("liar");
      expect(hostMiB(pid)).toBeGreaterThan(14_336 / MIB_PER_HOST_MIB);
      expect(yard.usedMiB).toBe(14_336);

      expect((await runJob(gateway, "honest")).status).toBe("completed");
      expect(isRunning(pid)).toBe(false);
      expect(hostMiB(pid)).toBe(0);
      expect(verbs()).toEqual([["free did not work", "stop worked"]]);
      expect((await vram()).demoted).toEqual([]);

      expect((await runJob(gateway, "liar")).status).toBe("completed");
      expect((await runJob(gateway, "honest")).status).toBe("completed");
      expect((await vram()).demoted).toMatchObject([{ backend: "liar", verb: "free" }]);

      expect((await runJob(gateway, "liar")).status).toBe("completed");
      expect((await runJob(gateway, "honest")).status).toBe("completed");
      // honest was told to free its model each time that the liar came back, and did.
      expect(verbs()).toEqual([
        ["free did not work", "stop worked"],
        ["free worked"],
        ["free did not work", "stop worked"],
        ["free worked"],
        ["stop worked"],
      ]);
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
    },
    LIMIT_MS,
  );

  test(
    "a server that frees a while after it said so: the next model comes when the memory is back",
    async () => {
      await yard.add("slow", { models: { big: { mib: 14_336 } }, server: { release_ms: 1_500 } });
      await yard.add("next", { models: { large: { mib: 16_384 } } });
      await start();
      expect((await runJob(gateway, "slow")).status).toBe("completed");
      const pid = await yard.pid("slow");
      expect((await runJob(gateway, "next")).status).toBe("completed");
      expect(verbs()).toEqual([["free worked"]]);
      expect(isRunning(pid)).toBe(true);
      expect(yard.peakMiB).toBe(16_384);
    },
    LIMIT_MS,
  );

  test(
    "a server without a call to unload is stopped for another, and started again for its next job",
    async () => {
      await yard.add("mute", { models: { big: { mib: 14_336 } }, more: { use: MUTE_SERVER } });
      await yard.add("next", { models: { large: { mib: 16_384 } } });
      await start();
      expect((await runJob(gateway, "mute")).status).toBe("completed");
      const pid = await yard.pid("mute");
      expect((await runJob(gateway, "next")).status).toBe("completed");
      expect(isRunning(pid)).toBe(false);
      expect(verbs()).toEqual([["stop worked"]]);
      expect((await runJob(gateway, "mute")).status).toBe("completed");
      expect(await yard.pid("mute")).not.toBe(pid);
      expect(yard.peakMiB).toBe(16_384);
    },
    LIMIT_MS,
  );

  test(
    "a server that computes is not stopped for another one's job, which waits until it is idle",
    async () => {
      await yard.add("busy", { models: { big: { mib: 14_336 } }, server: { lies: true } });
      await yard.add("next", { models: { large: { mib: 16_384 } } });
      await start();
      const first = await submitJob(gateway, "busy", { ms: 2_000 });
      await eventually("it computes", async () => {
        const { data } = await gateway.call("GET", `/jobs/${first}`);
        return data.status === "running";
      });
      const second = await submitJob(gateway, "next");
      expect((await gateway.ended(first)).status).toBe("completed");
      expect((await gateway.ended(second, 30_000)).status).toBe("completed");
      expect(yard.peakMiB).toBe(16_384);
    },
    LIMIT_MS,
  );
});

describe("a device that runs out of memory", () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeEach(async () => {
    yard = await createYard();
  });
  afterEach(async () => {
    await gateway?.remove();
    await yard.close();
  });

  test(
    "the cost is raised, the neighbour leaves, and the job is tried again and completes",
    async () => {
      await yard.add("neighbour", { models: { large: { mib: 15_360 } }, server: { strict: true } });
      // Says that its jobs need nothing, and they need 2 GiB.
      await yard.add("modest", {
        models: { small: { mib: 8_192 } },
        server: { strict: true },
        more: { needed_mib: 2_048 },
      });
      gateway = await startGateway({ folder: yard.folder, config: yard.config() });
      expect((await runJob(gateway, "neighbour")).status).toBe("completed");
      const job = await runJob(gateway, "modest");
      expect(job).toMatchObject({ status: "completed", attempts: 2 });
      const { data } = await gateway.call("GET", "/vram/costs");
      const cost = data.costs.find(
        ({ backend, out_of_memory_floor_mib }: any) =>
          backend === "modest" && out_of_memory_floor_mib !== null,
      );
      expect(cost.out_of_memory_floor_mib).toBeGreaterThanOrEqual(8_192 + 2_048);
      expect(logged(gateway, "models left a device")).toMatchObject([{ backend: "neighbour" }]);
      expect(yard.peakMiB).toBeLessThanOrEqual(yard.totalMiB);
    },
    LIMIT_MS,
  );
});
