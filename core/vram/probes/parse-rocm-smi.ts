/**
 * Reads `rocm-smi --showmeminfo vram --showuse --showuniqueid --showbus --showproductname
 * --showpids --json`: one member a card, and `system` with the processes (keys as captures show
 * them: telegraf, plugins/inputs/amd_rocm_smi/testdata). A process is the text "name, number of
 * GPUs, VRAM bytes, SDMA, CU occupancy" under "PID<n>". It does not say on which card its memory
 * is, so processes are only believed where there is one card.
 */
import { isObject, jsonIn, member, numberIn, textIn } from "./json-text.ts";
import { type MeasuredDevice, type Memory, type Parsed, shown } from "./measured.ts";
import type { ProcessReading } from "./probe.ts";

const MIB = 2 ** 20;

export function parseRocmSmi(text: string): Parsed {
  const json = jsonIn(text);
  if (!isObject(json)) return { kind: "unreadable", reason: `no JSON in "${shown(text)}"` };
  const cards = Object.keys(json).filter((key) => /^card\d+$/.test(key));
  if (cards.length === 0) {
    return { kind: "unreadable", reason: `rocm-smi lists no card: "${shown(text)}"` };
  }
  const processes = cards.length === 1 ? processesOf(member(json, "system")) : undefined;
  const devices = cards.map((key): MeasuredDevice => {
    const card = json[key];
    const uuid = textIn(card, "Unique ID");
    const busId = textIn(card, "PCI Bus");
    const product = textIn(card, "Card Series") ?? textIn(card, "Card series");
    const busy = numberIn(card, "GPU use (%)");
    return {
      index: Number(key.slice("card".length)),
      ...(uuid === undefined ? {} : { uuid }),
      ...(busId === undefined ? {} : { busId }),
      ...(product === undefined ? {} : { product }),
      memory: memoryOf(card),
      ...(busy === undefined ? {} : { utilisation: Math.min(1, busy / 100) }),
      ...(processes === undefined ? {} : { processes }),
    };
  });
  return { kind: "devices", devices };
}

function memoryOf(card: unknown): Memory {
  const totalBytes = numberIn(card, "VRAM Total Memory (B)");
  const usedBytes = numberIn(card, "VRAM Total Used Memory (B)");
  if (totalBytes === undefined || usedBytes === undefined || totalBytes === 0) {
    return { kind: "unknown", reason: "rocm-smi does not say how much memory it has and uses" };
  }
  const totalMiB = totalBytes / MIB;
  return { kind: "known", totalMiB, usedMiB: Math.min(totalMiB, usedBytes / MIB) };
}

function processesOf(system: unknown): readonly ProcessReading[] | undefined {
  // Without a running process there is no "PID…" member, and often no `system` at all.
  if (system === undefined) return [];
  if (!isObject(system)) return undefined;
  const rows: ProcessReading[] = [];
  for (const [key, value] of Object.entries(system)) {
    const pid = /^PID(\d+)$/.exec(key)?.[1];
    if (pid === undefined) continue;
    // The name comes first and may itself hold a comma: the numbers are counted from the end.
    const fields = typeof value === "string" ? value.split(",").map((field) => field.trim()) : [];
    const bytes = fields.at(-3);
    if (fields.length < 5 || bytes === undefined || !/^\d+$/.test(bytes)) return undefined;
    rows.push({
      pid: Number(pid),
      usedMiB: Number(bytes) / MIB,
      name: fields.slice(0, -4).join(", "),
    });
  }
  return rows;
}
