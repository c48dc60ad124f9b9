/**
 * SIM-2: the product's scheduler in 10,000 random worlds. Nothing is over-committed, no load is
 * wasted, no limit is broken and every job ends, whatever the seed, the policy and the trouble.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { WorldShape } from "./sim-2-plan.ts";
import { runWorld } from "./sim-2-world.ts";

const WORLDS = 10_000;
const LIMIT_MS = 180_000;

const world: fc.Arbitrary<WorldShape> = fc.record({
  seed: fc.nat(0xffff_ffff),
  policy: fc.constantFrom("fair", "fair", "fifo", "exclusive"),
  compute: fc.constantFrom("shared", "shared", "lane"),
  devices: fc.integer({ min: 1, max: 4 }),
  services: fc.integer({ min: 1, max: 7 }),
  jobs: fc.integer({ min: 1, max: 60 }),
  trouble: fc.boolean(),
});

describe("random worlds", () => {
  test(
    `in ${WORLDS} of them the rules hold at every event and every job ends`,
    () => {
      const told = { ended: 0, withdrawn: 0, loads: 0, crashes: 0 };
      fc.assert(
        fc.property(world, (shape) => {
          const one = runWorld(shape);
          told.ended += one.ended;
          told.withdrawn += one.withdrawn;
          told.loads += one.loads;
          told.crashes += one.crashes;
        }),
        // What fails is printed with its seed, and shrinks to few jobs and devices.
        { numRuns: WORLDS },
      );
      // The worlds were not empty.
      expect(told.ended).toBeGreaterThan(WORLDS * 10);
      expect(told.loads).toBeGreaterThan(WORLDS);
      expect(told.withdrawn).toBeGreaterThan(WORLDS / 10);
      expect(told.crashes).toBeGreaterThan(WORLDS / 10);
    },
    LIMIT_MS,
  );

  test(
    "under the fair policy nobody is overdue for longer than the stated bound",
    () => {
      const plain = fc.record({
        seed: fc.nat(0xffff_ffff),
        policy: fc.constant("fair" as const),
        compute: fc.constantFrom("shared" as const, "lane" as const),
        devices: fc.constant(1),
        services: fc.integer({ min: 2, max: 7 }),
        jobs: fc.integer({ min: 20, max: 120 }),
        trouble: fc.constant(false),
        plain: fc.constant(true),
      });
      fc.assert(
        fc.property(plain, (shape) => {
          runWorld(shape);
        }),
        { numRuns: WORLDS },
      );
    },
    LIMIT_MS,
  );
});
