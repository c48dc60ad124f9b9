/**
 * Reads `amd-smi list`, `metric --mem-usage --usage` and `process`, each with --json (AMD SMI
 * documentation, "AMD SMI CLI tool"; rocm.docs.amd.com/projects/amdsmi). The shape moved between
 * versions: the list of devices is bare or under `gpu_data`, a process' memory stands in
 * `mem_usage` or in `memory_usage.vram_mem`, and a quantity is {value, unit}, a number or "57 MB".
 *
 * AMD's "MB" are MiB: one MI300X is 196288 "MB" here and 205822885888 bytes in rocm-smi.
 */
import { isObject, jsonIn, member, numberIn, textIn } from "./json-text.ts";
import type { MeasuredDevice, Memory, Parsed } from "./measured.ts";
import { shown } from "./measured.ts";
import type { ProcessReading } from "./probe.ts";

export interface AmdSmiOutput {
  readonly metric: string;
  /** Absent when the command failed: then nobody knows the processes. */
  readonly processes?: string;
  /** Absent when the command failed: then devices have no UUID, only an index. */
  readonly list?: string;
}

export function parseAmdSmi(output: AmdSmiOutput): Parsed {
  const entries = entriesIn(output.metric);
  if (entries === undefined) {
    return { kind: "unreadable", reason: `no list of devices in "${shown(output.metric)}"` };
  }
  const names = entriesIn(output.list ?? "") ?? [];
  const processes = entriesIn(output.processes ?? "") ?? [];
  const devices = entries.map((entry, place): MeasuredDevice => {
    const index = numberIn(entry, "gpu") ?? place;
    const ofDevice = (other: unknown): boolean => numberIn(other, "gpu") === index;
    const name = names.find(ofDevice);
    const busId = textIn(name, "bdf");
    const uuid = textIn(name, "uuid");
    const busy = quantity(member(entry, "usage", "gfx_activity"))?.value;
    const rows = processesOf(processes.find(ofDevice));
    return {
      index,
      ...(uuid === undefined ? {} : { uuid }),
      ...(busId === undefined ? {} : { busId }),
      memory: memoryOf(entry),
      ...(busy === undefined ? {} : { utilisation: Math.min(1, busy / 100) }),
      ...(rows === undefined ? {} : { processes: rows }),
    };
  });
  return { kind: "devices", devices };
}

function entriesIn(text: string): readonly unknown[] | undefined {
  const json = jsonIn(text);
  const list = Array.isArray(json) ? json : member(json, "gpu_data");
  return Array.isArray(list) && list.every(isObject) ? list : undefined;
}

function memoryOf(entry: unknown): Memory {
  const total = quantity(member(entry, "mem_usage", "total_vram"));
  const used = quantity(member(entry, "mem_usage", "used_vram"));
  if (total === undefined || used === undefined || total.value <= 0) {
    return { kind: "unknown", reason: "amd-smi does not say how much memory it has and uses" };
  }
  const totalMiB = mebibytes(total);
  return { kind: "known", totalMiB, usedMiB: Math.min(totalMiB, mebibytes(used)) };
}

function processesOf(entry: unknown): readonly ProcessReading[] | undefined {
  const list = member(entry, "process_list") ?? member(entry, "process_info");
  if (typeof list === "string") return /^No running process/i.test(list) ? [] : undefined;
  if (!Array.isArray(list)) return undefined;
  const rows: ProcessReading[] = [];
  for (const item of list) {
    const row = member(item, "process_info") ?? item;
    if (typeof row === "string" && /^No running process/i.test(row)) continue;
    const pid = numberIn(row, "pid");
    const memory = quantity(member(row, "memory_usage", "vram_mem") ?? member(row, "mem_usage"));
    if (pid === undefined || !Number.isSafeInteger(pid) || pid === 0) return undefined;
    if (memory === undefined) return undefined;
    const name = textIn(row, "name");
    const usedMiB = mebibytes({ unit: "B", ...memory });
    rows.push({ pid, usedMiB, ...(name === undefined ? {} : { name }) });
  }
  return rows;
}

interface Quantity {
  readonly value: number;
  readonly unit?: string;
}

function quantity(value: unknown): Quantity | undefined {
  if (isObject(value)) {
    const number = numberIn(value, "value");
    const unit = textIn(value, "unit");
    if (number === undefined) return undefined;
    return unit === undefined ? { value: number } : { value: number, unit };
  }
  if (typeof value === "number")
    return numberIn({ value }, "value") === undefined ? undefined : { value };
  const found = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?([A-Za-z%]*)$/.exec(value) : null;
  if (found === null) return undefined;
  return found[2] ? { value: Number(found[1]), unit: found[2] } : { value: Number(found[1]) };
}

function mebibytes({ value, unit = "MB" }: Quantity): number {
  const scale: Readonly<Record<string, number>> = { B: 2 ** -20, KB: 2 ** -10, MB: 1, GB: 2 ** 10 };
  return value * (scale[unit.toUpperCase().replace("IB", "B")] ?? 1);
}
