/**
 * Reads a line of an operator's own probe command, strictly: a wrong name is refused, because a
 * reading that lacks half of what was meant would be believed.
 */
import { isObject } from "./json-text.ts";
import { shown } from "./measured.ts";
import type { DeviceReading, ProcessReading } from "./probe.ts";

export type ParsedLine =
  | { readonly kind: "reading"; readonly reading: Omit<DeviceReading, "atMs"> }
  | { readonly kind: "unreadable"; readonly reason: string };

const MAX_PROCESSES = 4_096;
const MAX_TEXT = 256;

export function parseCommandLine(line: string): ParsedLine {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return unreadable(`"${shown(line)}" is not JSON`);
  }
  if (!isObject(json)) return unreadable(`"${shown(line)}" is not a JSON object`);
  const known = ["total_mib", "used_mib", "processes", "uuid", "product", "utilisation"];
  const { total_mib, used_mib, processes, uuid, product, utilisation, ...rest } = json;
  const strange = Object.keys(rest)[0];
  if (strange !== undefined) {
    return unreadable(`"${shown(strange, 40)}" is unknown; known are ${known.join(", ")}`);
  }
  if (!isAmount(total_mib) || total_mib === 0) return unreadable("total_mib must be above 0");
  if (!isAmount(used_mib) || used_mib > total_mib) {
    return unreadable("used_mib must be a number from 0 to total_mib");
  }
  if (!isOptionalText(uuid)) return unreadable("uuid must be a text");
  if (!isOptionalText(product)) return unreadable("product must be a text");
  if (utilisation !== undefined && !(isAmount(utilisation) && utilisation <= 1)) {
    return unreadable("utilisation must be a number from 0 to 1");
  }
  const rows = processes === undefined ? undefined : rowsOf(processes);
  if (typeof rows === "string") return unreadable(rows);
  const reading = {
    totalMiB: total_mib,
    usedMiB: used_mib,
    ...(uuid === undefined ? {} : { uuid }),
    ...(product === undefined ? {} : { product }),
    ...(utilisation === undefined ? {} : { utilisation }),
    ...(rows === undefined ? {} : { processes: rows }),
  };
  return { kind: "reading", reading };
}

/** The processes, or what is wrong with them. */
function rowsOf(value: unknown): readonly ProcessReading[] | string {
  if (!Array.isArray(value) || value.length > MAX_PROCESSES) {
    return `processes must be a list of at most ${MAX_PROCESSES}`;
  }
  const rows: ProcessReading[] = [];
  for (const row of value) {
    if (!isObject(row)) return "each of processes must be an object";
    const { pid, used_mib, name, ...rest } = row;
    if (Object.keys(rest).length > 0) return "a process has pid, used_mib and name, nothing else";
    if (!isAmount(pid) || !Number.isSafeInteger(pid) || pid === 0) {
      return "pid must be a whole number above 0";
    }
    if (!isAmount(used_mib)) return "used_mib of a process must be a number from 0";
    if (!isOptionalText(name)) return "name of a process must be a text";
    rows.push({ pid, usedMiB: used_mib, ...(name === undefined ? {} : { name }) });
  }
  return rows;
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === "string" && value.length <= MAX_TEXT);
}

function unreadable(reason: string): ParsedLine {
  return { kind: "unreadable", reason };
}
