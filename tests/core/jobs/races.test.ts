/**
 * REL-07: what happens when two things happen to a job at once. 250 races of each of four kinds,
 * with fast-check's scheduler choosing who comes first: exactly one terminal event, and a reply
 * that is true.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { GatewayError } from "../../../core/errors.ts";
import { isTerminal } from "../../../core/jobs/state.ts";
import type { Job } from "../../../core/sdk/job.ts";
import { openWorld, type World } from "./world.ts";

const RUNS = 250;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A cancel as a client sees it: the job, or the error's code. */
async function cancelled(world: World, id: string): Promise<string> {
  const reply = await world.jobs.cancel(id, "test").catch((error: unknown) => error);
  if (reply instanceof GatewayError) {
    const told = (reply.details?.job as { status?: string } | undefined)?.status;
    expect(told).toBe(world.jobs.get(id)?.status);
    return reply.code;
  }
  return (reply as { status: string }).status;
}

/** Runs the two in an order, and with distances in turns of the event loop, that `s` chooses. */
async function race(
  s: fc.Scheduler,
  turns: readonly number[],
  ...sides: (() => Promise<unknown>)[]
): Promise<unknown[]> {
  const results = sides.map(async (side, index) => {
    for (let count = turns[index] ?? 0; count > 0; count--) await turn();
    await s.schedule(Promise.resolve(), `side ${index}`);
    return side();
  });
  let settled = false;
  const all = Promise.all(results).finally(() => {
    settled = true;
  });
  while (!settled) {
    if (s.count() > 0) await s.waitOne();
    else await turn();
  }
  return all;
}

function expectOneEnd(world: World, id: string): string {
  const ends = world.terminalEvents(id);
  expect(ends).toHaveLength(1);
  const row = world.jobs.get(id);
  expect(ends[0]?.type).toBe(`job.${row?.status}` as never);
  expect(isTerminal(row?.status ?? "pending")).toBe(true);
  return row?.status ?? "";
}

const distances = fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 }));

describe("REL-07, races", () => {
  let world: World;
  const finish = new Map<string, () => void>();
  const begun = new Map<string, Job>();
  beforeAll(() => {
    world = openWorld({
      run: (job) =>
        new Promise((resolve, reject) => {
          begun.set(job.id, job);
          finish.set(job.id, () => resolve({}));
          job.signal.addEventListener("abort", () => reject(job.signal.reason));
        }),
    });
  });
  afterAll(() => world.remove());

  const running = async (id: string) => {
    while (!begun.has(id)) await turn();
  };
  const idle = async () => {
    for (let count = 0; count < 200 && world.jobs.counts().running > 0; count++) await turn();
    expect(world.jobs.counts().running).toBe(0);
  };

  test(`cancel vs complete, ${RUNS} times: one end, and the reply names it`, async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), distances, async (s, turns) => {
        const id = await world.submit();
        await running(id);
        const [reply] = await race(
          s,
          turns,
          () => cancelled(world, id),
          async () => finish.get(id)?.(),
        );
        const ended = await world.ended(id);
        const status = expectOneEnd(world, id);
        expect(ended?.status).toBe(status as never);
        expect(reply).toBe(status === "cancelled" ? "cancelled" : "JOB_ALREADY_FINISHED");
        seen.add(status);
        await idle();
      }),
      { numRuns: RUNS },
    );
    expect([...seen].sort()).toEqual(["cancelled", "completed"]);
  }, 30_000);

  test(`cancel vs start, ${RUNS} times: cancelled once, and nothing goes on running`, async () => {
    let started = 0;
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), distances, async (s, turns) => {
        const order = world.submit();
        let id = "";
        const [, reply] = await race(
          s,
          turns,
          async () => {
            id = await order;
          },
          async () => {
            id = await order;
            return cancelled(world, id);
          },
        );
        expect(reply).toBe("cancelled");
        expect(expectOneEnd(world, id)).toBe("cancelled");
        await idle();
        const job = begun.get(id);
        if (job) started++;
        expect(job?.signal.aborted ?? true).toBe(true);
      }),
      { numRuns: RUNS },
    );
    expect(started).toBeGreaterThan(0);
    expect(started).toBeLessThan(RUNS);
  }, 30_000);

  test(`double cancel, ${RUNS} times: one wins and the other is told`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), distances, fc.boolean(), async (s, turns, wait) => {
        const id = await world.submit();
        if (wait) await running(id);
        const replies = await race(
          s,
          turns,
          () => cancelled(world, id),
          () => cancelled(world, id),
        );
        expect(replies.sort()).toEqual(["JOB_ALREADY_FINISHED", "cancelled"]);
        expect(expectOneEnd(world, id)).toBe("cancelled");
        await idle();
      }),
      { numRuns: RUNS },
    );
  }, 30_000);

  test(`timeout vs complete, ${RUNS} at once: one end each, whichever it is`, async () => {
    // The watch looks every 250 ms, so a limit of 300 ms is seen at 500 ms.
    const ids = await Promise.all(
      Array.from({ length: RUNS }, () => world.submit({ timeoutMs: 300 })),
    );
    await Promise.all(
      ids.map(async (id, index) => {
        await running(id);
        setTimeout(() => finish.get(id)?.(), 485 + (index % 60) / 2);
      }),
    );
    const rows = await Promise.all(ids.map((id) => world.ended(id)));
    const statuses = ids.map((id) => expectOneEnd(world, id));
    expect(rows.map((row) => row?.status as string)).toEqual(statuses);
    for (const row of rows) {
      if (row?.status === "failed") expect(row.error?.code).toBe("ATTEMPT_TIMEOUT");
    }
    expect(new Set(statuses).size).toBe(2);
    await idle();
  }, 30_000);
});
