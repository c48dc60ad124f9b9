/** Backends' own processes: none is left behind, and one that cannot start says why. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eventually, type Gateway, startGateway } from "../gateway.ts";
import {
  type BackendWish,
  childrenOf,
  createYard,
  isRunning,
  logged,
  runJob,
  submitJob,
  type Yard,
} from "./vram-yard.ts";

const LIMIT_MS = 60_000;
const CHILD_MIB = 1_024;
const MODEL_MIB = 8_192;
const models = { painter: { mib: MODEL_MIB } };

describe("backends' processes", () => {
  let yard: Yard;
  let gateway: Gateway;
  beforeEach(async () => {
    yard = await createYard();
  });
  afterEach(async () => {
    await gateway?.remove();
    await yard.close();
  });

  const start = async (useKey?: string, settings: object = {}) => {
    const config = yard.config({ ...settings });
    gateway = await startGateway({ folder: yard.folder, config, useKey });
  };
  /** Its pids after a first job: the server's own, and that of a child which holds memory too. */
  const family = async (wish: Partial<BackendWish> = {}): Promise<[number, number]> => {
    const server = { child_mib: CHILD_MIB, ...wish.server };
    await yard.add("painter", { models, ...wish, server });
    await start();
    expect((await runJob(gateway, "painter")).status).toBe("completed");
    const pid = await yard.pid("painter");
    const [child = 0] = childrenOf(pid);
    expect(isRunning(child)).toBe(true);
    await eventually("both hold memory", () => yard.usedMiB === MODEL_MIB + CHILD_MIB);
    return [pid, child];
  };
  const gone = async (...pids: number[]) => {
    expect(pids.filter(isRunning)).toEqual([]);
    await eventually("the device is empty", () => yard.usedMiB === 0);
  };

  test(
    "a stop in order ends the server and its children",
    async () => {
      const pids = await family();
      expect(await gateway.stop()).toBe(0);
      await gone(...pids);
    },
    LIMIT_MS,
  );

  test(
    "a server that does not hear SIGTERM is killed after its time, with its children",
    async () => {
      const pids = await family({ server: { deaf: true }, process: { stop_timeout_ms: 500 } });
      expect(await gateway.stop()).toBe(0);
      await gone(...pids);
    },
    LIMIT_MS,
  );

  test(
    "a server that may outlive the gateway does, and the next one works with it",
    async () => {
      const [pid, child] = await family({ process: { stop_with_gateway: false } });
      expect(await gateway.stop()).toBe(0);
      expect([pid, child].every(isRunning)).toBe(true);
      await start(gateway.key);
      expect((await runJob(gateway, "painter")).status).toBe("completed");
      expect(await yard.pid("painter")).toBe(pid);
      const kinds = (await yard.ask("painter", "GET", "/journal")).map(({ kind }: any) => kind);
      expect(kinds).toEqual(["load", "run", "run"]);
    },
    LIMIT_MS,
  );

  test(
    "after a kill -9 a backend that is no longer configured has no process left",
    async () => {
      const pids = await family();
      await gateway.stop("SIGKILL");
      expect(pids.every(isRunning)).toBe(true);
      yard.forget("painter");
      await start(gateway.key);
      await gone(...pids);
    },
    LIMIT_MS,
  );

  test(
    "after a kill -9 a backend with another command is ended and started anew",
    async () => {
      const pids = await family();
      await gateway.stop("SIGKILL");
      await yard.add("painter", { models, server: { scale: 256 } });
      await start(gateway.key);
      await gone(...pids);
      expect((await runJob(gateway, "painter")).status).toBe("completed");
      expect(pids).not.toContain(await yard.pid("painter"));
    },
    LIMIT_MS,
  );

  test(
    "an operator's stop ends the children too, and the next job starts the server again",
    async () => {
      const pids = await family();
      const { status, data } = await gateway.call("POST", "/backends/painter/stop");
      expect([status, data.process.state]).toEqual([200, "stopped"]);
      await gone(...pids);
      expect((await runJob(gateway, "painter")).status).toBe("completed");
    },
    LIMIT_MS,
  );

  test(
    "an idle server is stopped after its time",
    async () => {
      const pids = await family({ process: { idle_stop_ms: 700 } });
      await eventually("it has stopped", () => !pids.some(isRunning));
      await gone(...pids);
      const read = async () => (await gateway.call("GET", "/vram")).data;
      await eventually("it is known", async () => (await read()).processes[0].state === "stopped");
      expect((await read()).devices[0].residents).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "a server that dies while it works: the job is tried again on a new process",
    async () => {
      await yard.add("painter", { models });
      await start();
      const id = await submitJob(gateway, "painter", { ms: 1_500 });
      await eventually(
        "it computes",
        async () => (await yard.ask("painter", "GET", "/health").catch(() => ({}))).busy,
      );
      const pid = await yard.pid("painter");
      await yard.ask("painter", "POST", "/crash").catch(() => undefined);
      const job = await gateway.ended(id, 30_000);
      expect(job).toMatchObject({ status: "completed", attempts: 2 });
      expect(await yard.pid("painter")).not.toBe(pid);
      expect(yard.peakMiB).toBe(MODEL_MIB);
    },
    LIMIT_MS,
  );

  test(
    "a server that never starts: its job fails and says why, and an operator reads its last lines",
    async () => {
      const dies = ["loading weights", "ModuleNotFoundError: No module named 'torch'"];
      await yard.add("painter", { models, server: { dies }, process: { max_restarts: 1 } });
      await start();
      const job = await runJob(gateway, "painter");
      expect(job.status).toBe("failed");
      expect(job.error.code).toBe("SERVICE_UNAVAILABLE");
      expect(job.error.message).toContain("exited with code 3 before it was ready");
      const { data } = await gateway.call("GET", "/vram");
      expect(data.processes).toMatchObject([
        { backend: "painter", state: "failed", retry_at: null, last_lines: dies },
      ]);
      const again = await gateway.call("POST", "/backends/painter/start");
      expect(again.status).toBe(503);
      expect(again.error.details.process.last_lines).toEqual(dies);
      expect(logged(gateway, "a backend's process failed").at(-1)).toMatchObject({
        backend: "painter",
        last_lines: dies,
      });
    },
    LIMIT_MS,
  );
});
