/**
 * Which measured device is which configured one. Once found, a device is known by its UUID (or bus
 * id): indexes move when a card vanishes, and a neighbour must never be measured in its place.
 */
import type { Clock } from "../../clock.ts";
import type { Cell } from "./cell.ts";
import { isCalled, type MeasuredDevice, nameOf } from "./measured.ts";

export interface Wanted {
  readonly cell: Cell;
  readonly id?: string;
}

export interface Assignment {
  /** Publishes a look at all devices. */
  publish(devices: readonly MeasuredDevice[], sinceMs: number): void;
  /** Publishes that nothing could be measured. */
  missing(reason: string, sinceMs: number): void;
}

interface Known {
  readonly uuid?: string;
  readonly busId?: string;
  readonly index: number;
}

export function createAssignment(
  tool: string,
  wanted: readonly Wanted[],
  clock: Clock,
): Assignment {
  const known = new Map<Wanted, Known>();

  const isTaken = (device: MeasuredDevice): boolean =>
    [...known.values()].some((it) => isSame(device, it));

  const learn = (devices: readonly MeasuredDevice[]): void => {
    const unknown = wanted.filter((it) => !known.has(it));
    for (const it of unknown.filter(({ id }) => id !== undefined)) {
      const device = devices.find((each) => isCalled(each, it.id ?? "") && !isTaken(each));
      if (device !== undefined) known.set(it, device);
    }
    // Those without an id take, in the order of the configuration, what nobody named.
    for (const it of unknown.filter(({ id }) => id === undefined)) {
      const device = devices.find((each) => !isTaken(each) && !isReserved(each));
      if (device !== undefined) known.set(it, device);
    }
  };

  const isReserved = (device: MeasuredDevice): boolean =>
    wanted.some((it) => it.id !== undefined && !known.has(it) && isCalled(device, it.id));

  const absence = (it: Wanted, devices: readonly MeasuredDevice[]): string => {
    const before = known.get(it);
    const listed =
      devices.length === 0 ? "no device" : devices.map((device) => nameOf(device)).join(", ");
    if (before !== undefined) {
      return `the device ${before.uuid ?? before.busId ?? before.index} vanished; ${tool} lists ${listed}`;
    }
    const { id } = it;
    if (id === undefined) return `${tool} lists no further device, only ${listed}`;
    if (/^MIG-/i.test(id)) return `${id} is a part of a card (MIG); name the card itself`;
    const twin = devices.find((device) => isCalled(device, id));
    const other = wanted.find((each) => twin !== undefined && isSame(twin, known.get(each)));
    if (other !== undefined) return `"${id}" is already the device "${other.cell.device}"`;
    return `${tool} lists no device "${id}"; it lists ${listed}`;
  };

  return {
    publish(devices, sinceMs) {
      learn(devices);
      const atMs = clock.monotonicMs();
      for (const it of wanted) {
        const device = devices.find((each) => isSame(each, known.get(it)));
        if (device === undefined) {
          it.cell.publish({ kind: "missing", reason: absence(it, devices) }, sinceMs);
        } else if (device.memory.kind === "unknown") {
          const reason = `${nameOf(device)}: ${device.memory.reason}`;
          it.cell.publish({ kind: "missing", reason }, sinceMs);
        } else {
          const { uuid, product, utilisation, processes } = device;
          const { totalMiB, usedMiB } = device.memory;
          const reading = {
            totalMiB,
            usedMiB,
            ...(uuid === undefined ? {} : { uuid }),
            ...(product === undefined ? {} : { product }),
            ...(utilisation === undefined ? {} : { utilisation }),
            ...(processes === undefined ? {} : { processes }),
            atMs,
          };
          it.cell.publish({ kind: "reading", reading }, sinceMs);
        }
      }
    },
    missing(reason, sinceMs) {
      for (const { cell } of wanted) cell.publish({ kind: "missing", reason }, sinceMs);
    },
  };
}

/** A lost card may no longer tell its UUID, but still stands on its bus. */
function isSame(device: MeasuredDevice, known: Known | undefined): boolean {
  if (known === undefined) return false;
  if (device.uuid !== undefined && known.uuid !== undefined) return device.uuid === known.uuid;
  if (device.busId !== undefined && known.busId !== undefined) return device.busId === known.busId;
  return device.uuid === known.uuid && device.index === known.index;
}
