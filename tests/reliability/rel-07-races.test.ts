/** REL-07 over real HTTP: whoever wins a race, there is one end and the replies are true. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gateway, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";

const RUNS = 80;
const unlimited = "auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }";

describe("REL-07, races over HTTP", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    const folder = temporaryFolder();
    gateway = await startGateway({ folder, config: workConfig(folder, "", unlimited) });
  });
  afterAll(() => gateway.remove());

  async function eventsOf(id: string): Promise<{ type: string; seq: number }[]> {
    const { text } = await gateway.call("GET", `/jobs/${id}/events`);
    return [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!));
  }

  /** The final state after checking that it is told once and that nothing is missing before it. */
  async function oneEnd(id: string): Promise<any> {
    const job = await gateway.ended(id);
    const events = await eventsOf(id);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    const ends = events.filter(({ type }) => /completed|failed|cancelled/.test(type));
    expect(ends.map(({ type }) => type)).toEqual([`job.${job.status}`]);
    return job;
  }

  test(`cancel vs complete and cancel vs start, ${RUNS} times`, async () => {
    const seen: Record<string, number> = {};
    const one = async (index: number) => {
      const { data } = await gateway.call("POST", "/test/rerun", { ms: index % 10 });
      const pauseMs = (index * 7) % 16;
      if (pauseMs > 0) await Bun.sleep(pauseMs);
      const reply = await gateway.call("DELETE", `/jobs/${data.job_id}`);
      const { status } = await oneEnd(data.job_id);
      seen[status] = (seen[status] ?? 0) + 1;
      if (status === "cancelled") {
        expect([reply.status, reply.data.status]).toEqual([200, "cancelled"]);
      } else {
        expect([reply.status, reply.error.code]).toEqual([409, "JOB_ALREADY_FINISHED"]);
        expect(reply.error.details.job.status).toBe(status);
      }
    };
    for (let start = 0; start < RUNS; start += 4) {
      await Promise.all([0, 1, 2, 3].map((offset) => one(start + offset)));
    }
    expect(Object.keys(seen).sort()).toEqual(["cancelled", "completed"]);
  }, 30_000);

  test(`double cancel, ${RUNS} times: one 200 and one 409`, async () => {
    for (let index = 0; index < RUNS; index++) {
      const { data } = await gateway.call("POST", "/test/rerun", { ms: 2_000 });
      const path = `/jobs/${data.job_id}`;
      const replies = await Promise.all([
        gateway.call("DELETE", path),
        gateway.call("POST", `${path}/cancel`),
      ]);
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 409]);
      expect((await oneEnd(data.job_id)).status).toBe("cancelled");
    }
  }, 30_000);

  test("timeout vs complete, 100 at once", async () => {
    const ids = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const body = { ms: 235 + (index % 40), timeout_ms: 200 };
        return (await gateway.call("POST", "/test/rerun", body)).data.job_id;
      }),
    );
    const jobs = await Promise.all(ids.map(oneEnd));
    for (const { status, error } of jobs) {
      if (status !== "completed") expect(error.code).toBe("ATTEMPT_TIMEOUT");
    }
  }, 30_000);
});
