/** The simulated device: a folder in which living processes hold memory. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allocate, describeDevice, type Probe } from "../../../../core/vram/probes/mod.ts";
import { eventually } from "../../../gateway.ts";
import { type Bench, createBench } from "./bench.ts";

let bench: Bench;
let folder: string;
beforeEach(() => {
  bench = createBench();
  folder = join(bench.folder, "card");
});
afterEach(() => bench.close());

async function open(intervalMs = 60_000): Promise<Probe> {
  const settings = { probe: "simulated" as const, simulated: folder, memoryMiB: 1000, intervalMs };
  const probe = (await bench.open({ gpu: settings })).get("gpu");
  if (probe === undefined) throw new Error("no probe");
  return probe;
}

const usedMiB = (probe: Probe): number | undefined => {
  const state = probe.state();
  return state.kind === "reading" ? state.reading.usedMiB : undefined;
};
const fresh = (probe: Probe) => probe.fresh(AbortSignal.timeout(10_000));

test("memory is seen when it is taken, changed and freed", async () => {
  const probe = await open();
  expect(probe.state()).toMatchObject({ reading: { totalMiB: 1000, usedMiB: 0, processes: [] } });
  const held = allocate(folder, 300, "weights");
  allocate(folder, 50, "cache");
  expect((await fresh(probe)).processes).toMatchObject([{ pid: process.pid, usedMiB: 350 }]);
  held.set(400);
  expect((await fresh(probe)).usedMiB).toBe(450);
  held.free();
  held.free();
  expect((await fresh(probe)).usedMiB).toBe(50);
  expect(() => held.set(1)).toThrow("freed");
});

test("a change is noticed without asking", async () => {
  const probe = await open(500);
  allocate(folder, 300);
  await eventually("300 MiB", () => usedMiB(probe) === 300);
});

test("what a process held is free when it dies, and its file goes", async () => {
  const probe = await open();
  const child = spawn("sleep", ["60"]);
  const ended = new Promise((resolve) => child.once("close", resolve));
  allocate(folder, 700, "server", child.pid);
  expect((await fresh(probe)).processes).toEqual([
    { pid: child.pid ?? 0, usedMiB: 700, name: "server" },
  ]);
  child.kill("SIGKILL");
  await ended;
  expect((await fresh(probe)).usedMiB).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});

test("device.json says size, reserve, hidden processes and outages", async () => {
  describeDevice(folder, { total_mib: 2000, reserved_mib: 7, uuid: "GPU-s", hide_processes: true });
  const probe = await open();
  const reading = await fresh(probe);
  expect(reading).toMatchObject({ totalMiB: 2000, usedMiB: 7, uuid: "GPU-s" });
  expect(reading.processes).toBeUndefined();
  describeDevice(folder, { total_mib: 2000, missing: "driver reset" });
  const error = await fresh(probe).catch((it) => it);
  expect(error.message).toContain("driver reset");
  describeDevice(folder, { total_mib: 2000 });
  expect((await fresh(probe)).usedMiB).toBe(0);
});

test("strange files count nothing, and a folder that is removed is a card without processes", async () => {
  const probe = await open();
  allocate(folder, 10);
  writeFileSync(join(folder, `${process.pid}-broken.json`), "{");
  writeFileSync(join(folder, `${process.pid}-other.json`), '{"pid":1,"used_mib":5}');
  writeFileSync(join(folder, "notes.txt"), "hello");
  expect((await fresh(probe)).usedMiB).toBe(10);
  rmSync(folder, { recursive: true });
  expect((await fresh(probe)).usedMiB).toBe(0);
  // And it is watched again: nobody asks here, and the interval is a minute.
  allocate(folder, 20);
  await eventually("20 MiB", () => usedMiB(probe) === 20);
});

test("ten thousand rewrites leave one file, and the last one is seen", async () => {
  const probe = await open();
  let told = 0;
  probe.onChange(() => told++);
  const held = allocate(folder, 0);
  for (let i = 1; i <= 10_000; i++) {
    held.set(i % 1000);
    if (i % 500 === 0) await new Promise(setImmediate);
  }
  held.set(123);
  expect((await fresh(probe)).usedMiB).toBe(123);
  expect(readdirSync(folder)).toHaveLength(1);
  // Bursts are gathered: not a scan for each write.
  expect(told).toBeLessThan(2_000);
}, 60_000);
