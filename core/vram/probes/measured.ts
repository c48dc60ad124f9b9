/** What a tool's output says about one device, before it is known which configured device it is. */
import type { ProcessReading } from "./probe.ts";

export interface MeasuredDevice {
  readonly index: number;
  readonly uuid?: string;
  readonly busId?: string;
  readonly product?: string;
  readonly memory: Memory;
  readonly utilisation?: number;
  readonly processes?: readonly ProcessReading[];
}

export type Memory =
  | { readonly kind: "known"; readonly totalMiB: number; readonly usedMiB: number }
  | { readonly kind: "unknown"; readonly reason: string };

/** `unreadable`: the text is not what the tool is documented to print. */
export type Parsed =
  | { readonly kind: "devices"; readonly devices: readonly MeasuredDevice[] }
  | { readonly kind: "unreadable"; readonly reason: string };

/** Whether the operator's id (UUID, PCI bus id or index) means this device. */
export function isCalled(device: MeasuredDevice, id: string): boolean {
  if (/^\d+$/.test(id)) return device.index === Number(id);
  const busId = canonicalBusId(id);
  if (busId !== undefined) {
    return device.busId !== undefined && canonicalBusId(device.busId) === busId;
  }
  return device.uuid !== undefined && device.uuid.toLowerCase() === id.toLowerCase();
}

/** How messages name a device: the most lasting name that is known. */
export function nameOf(device: MeasuredDevice): string {
  return device.uuid ?? device.busId ?? `index ${device.index}`;
}

/** Enough of a text to recognise it in a message, on one line. */
export function shown(text: string, limit = 120): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= limit ? line : `${line.slice(0, limit)}…`;
}

/** Tools write the PCI domain with 8, 4 or no digits: 00000000:09:00.0, 0000:09:00.0, 09:00.0. */
function canonicalBusId(text: string): string | undefined {
  const found = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.([0-7]))?$/i.exec(text);
  if (found === null) return undefined;
  const [, domain = "0", bus, slot, fn = "0"] = found;
  return `${Number.parseInt(domain, 16).toString(16)}:${bus}:${slot}.${fn}`.toLowerCase();
}
