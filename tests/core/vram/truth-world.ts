/** Readings and beliefs for the tests of truth: written out, and by chance. */
import fc from "fast-check";
import type { DeviceReading, ProcessReading } from "../../../core/vram/probes/probe.ts";
import type { Belief } from "../../../core/vram/truth.ts";

/** [pid, MiB, name] */
export type Row = readonly [number, number, string?];

export function readingOf(
  usedMiB: number,
  rows?: readonly Row[],
  totalMiB = 24_576,
): DeviceReading {
  const processes = rows?.map(
    ([pid, mib, name]): ProcessReading => ({ pid, usedMiB: mib, ...(name ? { name } : {}) }),
  );
  return { totalMiB, usedMiB, atMs: 0, ...(processes ? { processes } : {}) };
}

export function belief(
  backend: string,
  pids: readonly number[],
  residentMiB: number,
  more: Partial<Belief> = {},
): Belief {
  return {
    backend,
    pids,
    residentMiB,
    workingMiB: 0,
    models: residentMiB > 0 ? ["m"] : [],
    running: 0,
    settled: true,
    ...more,
  };
}

export const mib = fc.integer({ min: 0, max: 30_000 });
const pid = fc.integer({ min: 1, max: 8 });
export const beliefs = fc.array(
  fc.record({
    backend: fc.constantFrom("a", "b", "c", "d"),
    pids: fc.oneof(fc.constant<number[]>([]), fc.array(pid, { maxLength: 3 })),
    residentMiB: mib,
    workingMiB: fc.oneof(fc.constant(0), mib),
    models: fc.array(fc.constantFrom("m", "n"), { maxLength: 2 }),
    running: fc.nat(2),
    settled: fc.boolean(),
  }),
  { maxLength: 5 },
);
const processes = fc.uniqueArray(fc.record({ pid, usedMiB: mib }), {
  maxLength: 8,
  selector: (it) => it.pid,
});
/** Tools round, leave out and count twice: used may be less or more than the processes. */
export const reading: fc.Arbitrary<DeviceReading> = fc
  .record({ usedMiB: fc.nat(100_000), processes: fc.option(processes, { nil: undefined }) })
  .map(({ usedMiB, processes: list }) => ({
    totalMiB: 98_304,
    usedMiB,
    atMs: 0,
    ...(list ? { processes: list } : {}),
  }));
export const RUNS = { numRuns: 2_000 };
