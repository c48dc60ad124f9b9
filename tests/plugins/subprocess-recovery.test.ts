/** Programs of a gateway that is killed, and the gateway after it, as real processes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { lookUp } from "../../core/sdk/processes/table.ts";
import { describeDevice } from "../../core/vram/probes/mod.ts";
import { createFakeProgram, type FakeProgram } from "../fakes/cli/program.ts";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";

const ON_LINUX = process.platform === "linux";
const HAS_DENO = process.env.SWITCHYARD_DENO !== undefined || Bun.which("deno") !== null;
const LIMIT_MS = 60_000;
const WAIT_MS = 30_000;

let program: FakeProgram;
let gateway: Gateway | undefined;
let folder: string;
let device: string;

beforeEach(async () => {
  program = createFakeProgram();
  await program.install();
  folder = temporaryFolder();
  device = join(folder, "device");
  mkdirSync(device);
  describeDevice(device, { total_mib: 24_576 });
});

afterEach(async () => {
  await gateway?.remove();
  gateway = undefined;
  for (const pid of program.noted("RUN").map(Number).filter(lives)) process.kill(pid, "SIGKILL");
  program.remove();
});

const lives = (pid: number): boolean => lookUp(pid)?.alive === true;
const runs = (): number[] => program.noted("RUN").map(Number);

function config(own: object = {}): string {
  const yaml = {
    devices: { gpu0: { probe: "simulated", simulated_folder: device, headroom_mib: 0 } },
    vram: { probe_interval_ms: 200 },
    backends: {
      tool: {
        use: "subprocess",
        ...program.config,
        vram_mib: 16_000,
        env: { SIMULATED_DEVICE: device },
        ...own,
      },
    },
  };
  return JSON.stringify(yaml);
}

async function submit(prompt: string, more: object = {}): Promise<string> {
  const { data, text } = await gateway!.call("POST", "/generate/audio", { prompt, ...more });
  if (!data?.job_id) throw new Error(text);
  return data.job_id;
}

const worksOn = (jobId: string) =>
  eventually(
    "it works",
    async () => {
      const { data } = await gateway!.call("GET", `/jobs/${jobId}`);
      return data.progress?.value > 0;
    },
    WAIT_MS,
  );

for (const runtime of ["bun", "deno"] as const) {
  const name = `a gateway on ${runtime} (needs /proc and ${runtime})`;
  describe.skipIf(!ON_LINUX || (runtime === "deno" && !HAS_DENO))(name, () => {
    const start = async (more: object = {}, own: object = {}) => {
      gateway = await startGateway({ folder, config: config(own), runtime, ...more });
      return gateway;
    };
    const crashAndRestart = async (between: () => unknown = () => {}, own: object = {}) => {
      const { key } = gateway!;
      await gateway!.stop("SIGKILL");
      await between();
      return start({ useKey: key }, own);
    };

    test(
      "is killed, and the next one goes on with the program that it left",
      async () => {
        await start();
        const jobId = await submit("rain steps=60 pause=100 hold=14000");
        await worksOn(jobId);
        const [pid] = runs();
        await crashAndRestart(() => expect(lives(pid!)).toBe(true));
        await worksOn(jobId);
        // What it holds is this backend's, not a stranger's.
        await eventually(
          "its memory is known",
          async () => {
            const [gpu0] = (await gateway!.call("GET", "/vram")).data.devices;
            const own = gpu0.processes.find((it: any) => it.pid === pid);
            return own?.backend === "tool" && gpu0.foreign_mib === 0;
          },
          WAIT_MS,
        );
        const job = await gateway!.ended(jobId, WAIT_MS);
        expect(job).toMatchObject({ status: "completed" });
        expect(job.output.artifacts).toHaveLength(1);
        expect(runs()).toEqual([pid!]);
        // Nothing of it is believed to be on the device any more: the next one has room.
        await eventually(
          "the books are even",
          async () => {
            const [gpu0] = (await gateway!.call("GET", "/vram")).data.devices;
            const held = gpu0.residents.reduce((sum: number, it: any) => sum + it.resident_mib, 0);
            return held === 0 && gpu0.foreign_mib === 0;
          },
          WAIT_MS,
        );
        const next = await gateway!.ended(await submit("rain hold=14000"), WAIT_MS);
        expect(next).toMatchObject({ status: "completed" });
      },
      LIMIT_MS,
    );

    test(
      "is killed, and the program ends before the next one comes",
      async () => {
        await start();
        const jobId = await submit("rain steps=10 pause=100");
        await worksOn(jobId);
        await crashAndRestart(() =>
          eventually("it is done", () => program.noted("DONE").length > 0, WAIT_MS),
        );
        const job = await gateway!.ended(jobId, WAIT_MS);
        expect(job).toMatchObject({ status: "completed" });
        expect(runs()).toHaveLength(1);
      },
      LIMIT_MS,
    );

    test(
      "is killed, and the program fails before the next one comes, which knows how",
      async () => {
        await start();
        const jobId = await submit("rain steps=10 pause=100 oom");
        await worksOn(jobId);
        await crashAndRestart(() => eventually("it is gone", () => !lives(runs()[0]!), WAIT_MS));
        const job = await gateway!.ended(jobId, WAIT_MS);
        expect(job).toMatchObject({ status: "failed", error: { code: "OUT_OF_MEMORY" } });
      },
      LIMIT_MS,
    );

    test(
      "is killed, and the program with it: the job is done again, from the beginning",
      async () => {
        await start();
        const jobId = await submit("rain steps=20 pause=100");
        await worksOn(jobId);
        await crashAndRestart(() => {
          const leader = lookUp(runs()[0]!)!.group;
          process.kill(-leader, "SIGKILL");
        });
        const job = await gateway!.ended(jobId, WAIT_MS);
        expect(job).toMatchObject({ status: "completed" });
        expect(runs()).toHaveLength(2);
      },
      LIMIT_MS,
    );

    test(
      "is killed, comes back with other settings, and ends what runs with the old ones",
      async () => {
        await start();
        const jobId = await submit("rain steps=200 pause=100");
        await worksOn(jobId);
        const [pid] = runs();
        const command = [...(program.config.command as string[]), "--format=flac"];
        await crashAndRestart(() => {}, { command });
        await eventually("the old one is ended", () => !lives(pid!), WAIT_MS);
        await eventually("a new one runs", () => runs().length === 2, WAIT_MS);
        expect(program.noted("ARGS")[1]).toContain("--format=flac");
        await gateway!.call("DELETE", `/jobs/${jobId}`);
        await eventually("it is ended", () => !lives(runs()[1]!), WAIT_MS);
      },
      LIMIT_MS,
    );

    test(
      "is killed between the start of a program and its record: it is ended and done again",
      async () => {
        await start();
        const jobId = await submit("rain steps=20 pause=100");
        await worksOn(jobId);
        const [pid] = runs();
        const jobs = join(folder, "data", "work", "tool", "jobs");
        await crashAndRestart(async () => {
          for (const name of readdirSync(jobs)) rmSync(join(jobs, name, "pid.json"));
        });
        const job = await gateway!.ended(jobId, WAIT_MS);
        expect(job).toMatchObject({ status: "completed" });
        expect(lives(pid!)).toBe(false);
      },
      LIMIT_MS,
    );

    test(
      "cancels a program and its children",
      async () => {
        await start();
        const jobId = await submit("rain family hang");
        const [child] = await eventually(
          "it has a child",
          () => program.noted("CHILD").length > 0 && program.noted("CHILD").map(Number),
          WAIT_MS,
        );
        const { status } = await gateway!.call("DELETE", `/jobs/${jobId}`);
        expect(status).toBeLessThan(300);
        await eventually("all are gone", () => ![...runs(), child!].some(lives), WAIT_MS);
      },
      LIMIT_MS,
    );
  });
}
