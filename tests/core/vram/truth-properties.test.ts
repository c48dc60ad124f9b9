/** What holds of the truth for any reading and any beliefs. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Belief, reconcile } from "../../../core/vram/truth.ts";
import { belief, beliefs, mib, type Row, RUNS, reading, readingOf } from "./truth-world.ts";

const claimOf = (it: Belief) => it.residentMiB + it.workingMiB;
const total = (numbers: readonly number[]) => numbers.reduce((sum, it) => sum + it, 0);

describe("for any reading and any beliefs", () => {
  test("what is believed and what is foreign are never less than what is used", () => {
    fc.assert(
      fc.property(reading, beliefs, (seen, believed) => {
        const { foreignMiB } = reconcile(seen, believed);
        expect(total(believed.map(claimOf)) + foreignMiB).toBeGreaterThanOrEqual(seen.usedMiB);
      }),
      RUNS,
    );
  });

  test("nothing is negative, and foreign is the shadows and what backends use too much", () => {
    fc.assert(
      fc.property(reading, beliefs, (seen, believed) => {
        const truth = reconcile(seen, believed);
        const shadowsMiB = total(truth.shadows.map((it) => it.usedMiB));
        expect(truth.foreignMiB).toBeGreaterThanOrEqual(shadowsMiB);
        for (const { usedMiB } of truth.shadows) expect(usedMiB).toBeGreaterThan(0);
        for (const usedMiB of truth.measured.values()) expect(usedMiB).toBeGreaterThanOrEqual(0);
        const allOurs = (seen.processes ?? []).every((it) =>
          believed.some(({ pids }) => pids.includes(it.pid)),
        );
        if (allOurs) expect(truth.shadows.every((it) => it.pid === null)).toBe(true);
        const ownPids = new Set<number | null>(believed.flatMap(({ pids }) => pids));
        expect(truth.shadows.filter((it) => ownPids.has(it.pid))).toEqual([]);
      }),
      RUNS,
    );
  });

  test("when more is used, no less is foreign", () => {
    fc.assert(
      fc.property(reading, fc.nat(50_000), beliefs, (seen, moreMiB, believed) => {
        const more = { ...seen, usedMiB: seen.usedMiB + moreMiB };
        const before = reconcile(seen, believed).foreignMiB;
        expect(reconcile(more, believed).foreignMiB).toBeGreaterThanOrEqual(before);
      }),
      RUNS,
    );
  });

  test("when less is believed, no less is foreign, and when nothing is, everything used is", () => {
    fc.assert(
      fc.property(reading, beliefs, fc.nat(30_000), (seen, believed, lessMiB) => {
        const less = believed.map((it) => ({
          ...it,
          residentMiB: Math.max(0, it.residentMiB - lessMiB),
        }));
        const before = reconcile(seen, believed).foreignMiB;
        expect(reconcile(seen, less).foreignMiB).toBeGreaterThanOrEqual(before);
        expect(reconcile(seen, []).foreignMiB).toBeGreaterThanOrEqual(seen.usedMiB);
      }),
      RUNS,
    );
  });

  test("the order of beliefs and of processes makes no difference", () => {
    fc.assert(
      fc.property(reading, beliefs, (seen, believed) => {
        const turned = seen.processes
          ? { ...seen, processes: seen.processes.toReversed() }
          : { ...seen };
        const truth = reconcile(seen, believed);
        expect(reconcile(turned, believed.toReversed()).foreignMiB).toBe(truth.foreignMiB);
      }),
      RUNS,
    );
  });

  test("nothing is foreign when everything is as believed, whoever knows which processes", () => {
    const exact = fc.array(fc.record({ mib, known: fc.boolean() }), { maxLength: 6 });
    fc.assert(
      fc.property(exact, fc.boolean(), (list, perProcess) => {
        const rows = list.map((it, index): Row => [index + 1, it.mib]);
        const seen = readingOf(total(list.map((it) => it.mib)), perProcess ? rows : undefined);
        const believed = list.map((it, index) =>
          belief(`b${index}`, it.known ? [index + 1] : [], it.mib),
        );
        expect(reconcile(seen, believed)).toMatchObject({ foreignMiB: 0, shadows: [] });
      }),
      RUNS,
    );
  });
});
