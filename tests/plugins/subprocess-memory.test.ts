/** What a program holds on a device while it works on a job, and what the gateway makes of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describeDevice } from "../../core/vram/probes/mod.ts";
import { createFakeProgram, type FakeProgram } from "../fakes/cli/program.ts";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";

const ON_LINUX = process.platform === "linux";
const WAIT_MS = 30_000;
const LIMIT_MS = 90_000;

let program: FakeProgram;
let gateway: Gateway;
let folder: string;
let config: string;

beforeEach(async () => {
  program = createFakeProgram();
  await program.install();
  folder = temporaryFolder();
  const device = join(folder, "device");
  mkdirSync(device);
  describeDevice(device, { total_mib: 24_576 });
  config = JSON.stringify({
    devices: { gpu0: { probe: "simulated", simulated_folder: device, headroom_mib: 0 } },
    vram: { probe_interval_ms: 200 },
    backends: {
      tool: {
        use: "subprocess",
        ...program.config,
        model: "weights",
        vram_mib: 16_000,
        env: { SIMULATED_DEVICE: device },
      },
    },
  });
  gateway = await startGateway({ folder, config });
});

afterEach(async () => {
  await gateway.remove();
  program.remove();
});

const submit = async (prompt: string): Promise<string> =>
  (await gateway.call("POST", "/generate/audio", { prompt })).data.job_id;
const device = async () => (await gateway.call("GET", "/vram")).data.devices[0];
const costs = async (): Promise<any[]> => (await gateway.call("GET", "/vram/costs")).data.costs;

/** A moment in which the program is seen on the device as the backend's, and nobody as a stranger. */
const seenOnDevice = (mib: number) =>
  eventually(
    "its process is the backend's",
    async () => {
      const { processes, foreign_mib } = await device();
      const own = processes.find((it: any) => it.backend === "tool");
      return own?.used_mib === mib && foreign_mib === 0;
    },
    WAIT_MS,
  );

describe.skipIf(!ON_LINUX)("the memory of a program (needs /proc)", () => {
  test(
    "is the backend's while it works, is nobody's afterwards, and teaches what a run takes",
    async () => {
      for (let turn = 0; turn < 3; turn++) {
        const jobId = await submit("rain steps=25 pause=100 hold=9000");
        await seenOnDevice(9_000);
        expect(await gateway.ended(jobId, WAIT_MS)).toMatchObject({ status: "completed" });
        await eventually(
          "it is nobody's",
          async () => {
            const { used_mib, foreign_mib } = await device();
            return used_mib === 0 && foreign_mib === 0;
          },
          WAIT_MS,
        );
      }
      const learned = (await costs()).find(({ model }) => model === "weights");
      // Not of the first: what came with it could have been a model that stays.
      expect(learned).toMatchObject({
        resident_mib: null,
        working_mib: 9_000,
        samples: { resident: 0, working: 2, run: 2 },
      });
    },
    LIMIT_MS,
  );

  test(
    "of a gateway before this one is no size of a model",
    async () => {
      const jobId = await submit("rain steps=60 pause=100 hold=14000");
      await seenOnDevice(14_000);
      const { key } = gateway;
      await gateway.stop("SIGKILL");
      gateway = await startGateway({ folder, config, useKey: key });
      await seenOnDevice(14_000);
      await gateway.ended(jobId, WAIT_MS);
      expect(JSON.stringify(await costs())).not.toContain("14000");
      const { residents } = await device();
      expect(residents.filter((it: any) => it.resident_mib > 0)).toEqual([]);
    },
    LIMIT_MS,
  );
});
