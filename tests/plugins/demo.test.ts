/** `npm run demo`: without a GPU, from the start to a clean end. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { poll } from "switchyard/sdk";
import { until } from "switchyard/sdk/testing";

const ROOT = resolve(import.meta.dir, "../..");
const START_MS = 60_000;
let demo: ChildProcess;
let output = "";
let url = "";
let key = "";
let folder = "";

beforeAll(async () => {
  demo = spawn(process.execPath, ["scripts/demo.ts", "--load", "--every", "200"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [demo.stdout, demo.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  }
  await until(() => output.includes("Ctrl-C ends it.") || demo.exitCode !== null, START_MS, output);
  [, url = "", key = ""] = /export URL=(\S+) KEY=(\S+)/.exec(output) ?? [];
  [, folder = ""] = /the card +(\S+)\/device/.exec(output) ?? [];
}, START_MS + 5_000);

afterAll(() => void demo.kill("SIGTERM"));

const get = async (path: string): Promise<any> =>
  (await (await fetch(url + path, { headers: { "x-api-key": key } })).json()).data;

test("its jobs bring models onto the card, whose memory the stand-ins' processes hold", async () => {
  const signal = AbortSignal.timeout(40_000);
  const look = async () => {
    const [device] = (await get("/vram")).devices;
    const { processes, residents } = device;
    const held = processes.filter((it: any) => it.backend !== null && it.used_mib > 0);
    return held.length > 0 && residents.length > 0 ? device : undefined;
  };
  const device = await poll(look, { signal });
  expect(device).toMatchObject({ total_mib: 24_576, foreign_mib: 0, probe: { kind: "simulated" } });
  const done = async () => {
    const { items } = await get("/jobs?status=completed");
    return items.length > 0 || undefined;
  };
  await poll(done, { signal });
  expect((await get("/jobs?status=failed")).items).toEqual([]);
}, 60_000);

test("it shows the card, its models and the queue", async () => {
  await until(() => /gpu0 {2}Simulated/.test(output), 15_000, "the table");
  await until(() => /(comfyui|ollama) +\S+ +(loading|resident)/.test(output), 30_000, "a model");
  expect(output).toMatch(/Waiting \(\d+\)/);
}, 60_000);

test("one signal ends the gateway and the stand-ins, and leaves no folder", async () => {
  expect(existsSync(folder)).toBe(true);
  const { processes } = (await get("/vram")).devices[0];
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  demo.kill("SIGINT");
  await until(() => demo.exitCode !== null || demo.signalCode !== null, 60_000, "it ends");
  expect(demo.exitCode).toBe(0);
  expect(existsSync(folder)).toBe(false);
  expect(processes.filter(({ pid }: any) => isAlive(pid))).toEqual([]);
  expect(await fetch(url).catch(() => "nobody")).toBe("nobody");
}, 70_000);
