/**
 * REL-14 for programs that run once for each job: each way to end badly, or not at all, ends in its
 * class and in time, costs the gateway little memory, and leaves no process and no slot behind.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { eventually, type Gateway, startGateway } from "../gateway.ts";
import { firstOutcome, inGroups, MEMORY_MIB, residentMiB, SMALL_HEAP } from "./rel-14-matrix.ts";

const STALL_MS = 1_500;
/** A program takes longer to start than a request. */
const SLACK_MS = 3_000;
const SECRET = "the-operators-own-credential";
const FAULTY = resolve(import.meta.dir, "../fakes/cli/faulty.ts");

const OUTCOMES: Readonly<Record<string, string>> = {
  // Apart from the other flood, so that each is measured.
  flood: "completed",
  "kill-9": "BACKEND_LOST",
  segfault: "BACKEND_FAILED",
  exit: "BACKEND_FAILED",
  memory: "OUT_OF_MEMORY",
  "disk-full": "BACKEND_FAILED",
  "no-output": "BACKEND_BAD_OUTPUT",
  "empty-output": "BACKEND_BAD_OUTPUT",
  "cut-wav": "BACKEND_BAD_OUTPUT",
  page: "BACKEND_BAD_OUTPUT",
  "link-out": "BACKEND_BAD_OUTPUT",
  silent: "STALLED",
  deaf: "STALLED",
  "one-line": "completed",
  "cut-utf8": "completed",
  grandchild: "completed",
};
const faults = Object.keys(OUTCOMES);

describe("REL-14, programs", () => {
  let gateway: Gateway;
  let sampler: ReturnType<typeof setInterval>;
  let baseMiB = 0;
  let peakMiB = 0;

  beforeAll(async () => {
    const command = `[${process.execPath}, ${FAULTY}, "{{in}}/prompt.txt", "{{out}}"]`;
    const lines = faults.map(
      (fault, index) => `  ${fault}:
    { use: subprocess, capability: audio.generate, device: d${index}, grace_ms: 300,
      command: ${command}, files: { prompt.txt: "{{prompt}}" }, output: "*.wav" }`,
    );
    const config = `devices: { ${faults.map((_, index) => `d${index}: {}`).join(", ")} }
jobs: { stall_timeout_ms: ${STALL_MS}, cancel_grace_ms: 1000 }
auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }
backends:
${lines.join("\n")}
`;
    gateway = await startGateway({ config, env: { ...SMALL_HEAP, OPERATORS_SECRET: SECRET } });
    for (let around = 0; around < 3; around++) await inGroups(faults, expectGood);
    baseMiB = residentMiB(gateway.child.pid!);
    sampler = setInterval(() => {
      peakMiB = Math.max(peakMiB, residentMiB(gateway.child.pid!));
    }, 20);
  }, 60_000);

  afterAll(async () => {
    clearInterval(sampler);
    await gateway.remove();
  });

  async function submit(backend: string, prompt: string): Promise<string> {
    const body = { prompt, backend };
    const { status, data, text } = await gateway.call("POST", "/generate/audio", body);
    expect([backend, status, status === 202 ? "" : text]).toEqual([backend, 202, ""]);
    return data.job_id;
  }

  async function expectGood(backend: string): Promise<void> {
    const job = await gateway.ended(await submit(backend, "a sound"), 15_000);
    expect([backend, job.status, job.error]).toEqual([backend, "completed", null]);
  }

  test(`${faults.join(", ")}: each ends in its class and in time`, async () => {
    const outcomes: Record<string, string> = {};
    await inGroups(faults, async (fault) => {
      const before = performance.now();
      const id = await submit(fault, `${fault} please`);
      outcomes[fault] = await firstOutcome(gateway, id);
      expect([fault, performance.now() - before < STALL_MS + SLACK_MS]).toEqual([fault, true]);
      await gateway.call("DELETE", `/jobs/${id}`);
      await expectGood(fault);
    });
    expect(outcomes).toEqual({ ...OUTCOMES });
  }, 90_000);

  test("nothing that they started goes on", async () => {
    const left = () =>
      readdirSync("/proc").filter((pid) => {
        if (!/^\d+$/.test(pid)) return false;
        try {
          const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
          return environment.includes(gateway.folder) && Number(pid) !== gateway.child.pid;
        } catch {
          return false;
        }
      });
    await eventually("no process of theirs is left", () => left().length === 0);
  });

  test("no key and no secret of the operator's is told", async () => {
    expect(gateway.output()).not.toContain(gateway.key);
    expect(gateway.output()).not.toContain(SECRET);
  });

  test(`the gateway grew by less than ${MEMORY_MIB} MiB`, () => {
    console.log(`REL-14: ${faults.length} faults, ${baseMiB} MiB before, ${peakMiB} MiB at most`);
    expect(peakMiB - baseMiB).toBeLessThan(MEMORY_MIB);
  });
});
