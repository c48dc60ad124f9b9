/**
 * Reads one document of `nvidia-smi -q -x`. Which elements stand where is taken from the DTDs
 * nvsmi_device_v11 to v13 as captures of them show it (telegraf, plugins/inputs/nvidia_smi/testdata;
 * netdata, collector/nvidia_smi/testdata), what they mean from NVIDIA's nvidia-smi(1).
 *
 * Used memory is `total - free`, not `used`. Where a driver tells `reserved`, `used` leaves out what
 * the driver keeps for itself (a capture of a 3090: total 24576, reserved 450, used 7, free 24120,
 * each rounded); where it does not, that is part of `used`. Nobody can allocate it, so it counts.
 */
import { type MeasuredDevice, type Memory, type Parsed, shown } from "./measured.ts";
import type { ProcessReading } from "./probe.ts";
import { childOf, parseXml, textOf, type XmlElement } from "./xml.ts";

/** What ends a document; in a loop the documents simply follow each other. */
export const NVIDIA_END = "</nvidia_smi_log>";
const START = "<nvidia_smi_log";
/**
 * A card without a single listed process may still use a little (tens of MiB). More than this, and
 * somebody is there whom we cannot see: a container sees no processes of the host.
 */
const UNSEEN_MIB = 256;

export function parseNvidia(text: string): Parsed {
  // The last start: an interrupted document may stand before a whole one.
  const start = text.lastIndexOf(START);
  if (start < 0) return { kind: "unreadable", reason: `no ${START}> in "${shown(text)}"` };
  // The clock tables are four fifths of a document, and nobody here reads them.
  const lean = text.slice(start).replace(/<supported_clocks>[\s\S]*?<\/supported_clocks>/g, "");
  const root = parseXml(lean);
  if (root?.name !== "nvidia_smi_log") {
    return { kind: "unreadable", reason: `broken XML: "${shown(lean)}"` };
  }
  const devices = root.children.filter(({ name }) => name === "gpu").map(deviceOf);
  return { kind: "devices", devices };
}

/** "24576 MiB" in MiB; undefined for "N/A", "[Not Found]", "[GPU is lost]" and their like. */
function mebibytes(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?) (KiB|MiB|GiB)$/.exec(text);
  if (found === null) return undefined;
  const scale = { KiB: 1 / 1024, MiB: 1, GiB: 1024 }[found[2] ?? ""] ?? Number.NaN;
  return Number(found[1]) * scale;
}

function deviceOf(gpu: XmlElement, index: number): MeasuredDevice {
  const memory = memoryOf(gpu);
  const utilisation = /^(\d+) %$/.exec(textOf(gpu, "utilization", "gpu_util"))?.[1];
  const processes = memory.kind === "known" ? processesOf(gpu, memory) : undefined;
  return {
    index,
    ...named("uuid", /^GPU-[\w-]+$/.exec(textOf(gpu, "uuid"))?.[0]),
    ...named("busId", /^[\da-fA-F:.]+$/.exec(textOf(gpu, "pci", "pci_bus_id"))?.[0]),
    ...named("product", textOf(gpu, "product_name") || undefined),
    memory,
    ...(utilisation === undefined ? {} : { utilisation: Math.min(1, Number(utilisation) / 100) }),
    ...(processes === undefined ? {} : { processes }),
  };
}

function memoryOf(gpu: XmlElement): Memory {
  // A direct child: MIG instances have a `fb_memory_usage` of their own further down.
  const usage = childOf(gpu, "fb_memory_usage");
  const totalMiB = mebibytes(textOf(usage, "total"));
  const freeMiB = mebibytes(textOf(usage, "free"));
  const allocatedMiB = mebibytes(textOf(usage, "used"));
  if (totalMiB === undefined || totalMiB <= 0) return unknown(textOf(usage, "total"));
  const withoutFree = (mebibytes(textOf(usage, "reserved")) ?? 0) + (allocatedMiB ?? 0);
  if (freeMiB === undefined && allocatedMiB === undefined) return unknown(textOf(usage, "used"));
  const usedMiB = freeMiB === undefined ? withoutFree : totalMiB - freeMiB;
  return { kind: "known", totalMiB, usedMiB: Math.min(totalMiB, Math.max(0, usedMiB)) };
}

/** Cards that share the machine's memory (GB10, Jetson) say "N/A" for their whole life. */
function unknown(said: string): Memory {
  const wording = said === "" ? "nothing" : `"${shown(said)}"`;
  const hint = /N\/A|Not Supported/i.test(said)
    ? "; if that stays, declare memory_mib and use probe: none"
    : "";
  return { kind: "unknown", reason: `nvidia-smi says ${wording} for its memory${hint}` };
}

interface Row extends ProcessReading {
  /** GPU and compute instance: under MIG one process may hold memory in several. */
  readonly instance: string;
}

function processesOf(
  gpu: XmlElement,
  memory: { readonly totalMiB: number; readonly usedMiB: number },
): readonly ProcessReading[] | undefined {
  const list = childOf(gpu, "processes");
  // Instead of a list: "N/A", "[Insufficient Permissions]". "None" is an empty list.
  if (list === undefined || (list.children.length === 0 && !/^(None)?$/.test(list.text))) return;
  const rows: Row[] = [];
  for (const row of list.children.filter(({ name }) => name === "process_info")) {
    const pid = Number(textOf(row, "pid"));
    const usedMiB = mebibytes(textOf(row, "used_memory"));
    if (!Number.isSafeInteger(pid) || pid <= 0) return;
    if (usedMiB === undefined) {
      // Under WDDM every row says "N/A". A desktop's graphics context alone may be left out;
      // a computing process whose memory is unknown makes the whole list a lie.
      if (textOf(row, "type") === "G") continue;
      return;
    }
    const instance = `${textOf(row, "gpu_instance_id")}/${textOf(row, "compute_instance_id")}`;
    rows.push({ pid, usedMiB, instance, ...named("name", textOf(row, "process_name")) });
  }
  const reservedMiB = mebibytes(textOf(gpu, "fb_memory_usage", "reserved")) ?? 0;
  if (rows.length === 0 && memory.usedMiB - reservedMiB > UNSEEN_MIB) return;
  return merged(rows);
}

/** A process that computes and draws has two rows with the same memory: that is one allocation. */
function merged(rows: readonly Row[]): readonly ProcessReading[] {
  const perInstance = new Map<string, Row>();
  for (const row of rows) {
    const key = `${row.pid} ${row.instance}`;
    const before = perInstance.get(key);
    if (before === undefined || before.usedMiB < row.usedMiB) perInstance.set(key, row);
  }
  const perPid = new Map<number, ProcessReading>();
  for (const { instance: _, ...row } of perInstance.values()) {
    const usedMiB = row.usedMiB + (perPid.get(row.pid)?.usedMiB ?? 0);
    perPid.set(row.pid, { ...row, usedMiB });
  }
  return [...perPid.values()];
}

function named<K extends string>(
  key: K,
  value: string | undefined,
): { readonly [P in K]?: string } {
  return value === undefined || value === "" ? {} : ({ [key]: value } as { [P in K]?: string });
}
