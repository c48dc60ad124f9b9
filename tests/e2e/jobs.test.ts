/**
 * A job's life over HTTP: accepted once, listed, waited for, cancelled, removed, and within limits.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { PUPPET, UNKNOWN_JOB } from "./table.ts";

describe(`jobs on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0 } }
backends:
  puppet: { use: ${PUPPET}, concurrency: 4 }
  single: { use: ${PUPPET}, concurrency: 1 }
`,
    });
  });
  afterAll(() => gateway.remove());

  const dance = (body: object = {}, headers: Record<string, string> = {}, key = gateway.key) =>
    gateway.call("POST", "/generate/dance", { text: "a jig", ...body }, { headers, key });
  const release = (name: string) =>
    eventually(`${name} is held`, async () => {
      const { data } = await gateway.call("POST", "/puppet/release", { name });
      return data.released as boolean;
    });
  const statusOf = async (id: string) => (await gateway.call("GET", `/jobs/${id}`)).data.status;

  test("a request is accepted with its place, and the job tells everything", async () => {
    const accepted = await dance({ tag: "mine", priority: 7 });
    expect(accepted.status).toBe(202);
    expect(accepted.headers.get("location")).toBe(`/jobs/${accepted.data.job_id}`);
    expect(accepted.headers.get("x-gateway-job")).toBe(accepted.data.job_id);
    expect(accepted.headers.get("x-gateway-backend")).toBe("puppet");
    const job = await gateway.ended(accepted.data.job_id);
    expect(job).toMatchObject({
      capability: "puppet.dance",
      backend: "puppet",
      status: "completed",
      phase: null,
      queue: null,
      attempts: 1,
      priority: 7,
      tag: "mine",
      input: { text: "a jig" },
      output: { text: "a jig" },
      error: null,
    });
    expect(job.urls.ws).toBe(`/ws/jobs/${job.job_id}`);
    expect(Date.parse(job.finished_at)).toBeGreaterThanOrEqual(Date.parse(job.created_at));
  });

  test("a request may name its backend and say X-Priority", async () => {
    const { data, headers } = await dance({ backend: "single" }, { "x-priority": "background" });
    expect(headers.get("x-gateway-backend")).toBe("single");
    expect(await gateway.ended(data.job_id)).toMatchObject({ backend: "single", priority: 2 });
  });

  test("a failed job is a successful read with a code and a reason", async () => {
    const { data } = await dance({ fail: "the puppet has no legs" });
    const job = await gateway.ended(data.job_id);
    expect(job.status).toBe("failed");
    expect(job.error).toMatchObject({
      code: "BACKEND_REJECTED",
      message: "the puppet has no legs",
    });
  });

  test("the more urgent goes first, and equals in the order of their arrival", async () => {
    const first = await dance({ backend: "single", hold: "door" });
    await eventually("it runs", async () => (await statusOf(first.data.job_id)) === "running");
    const order = [2, 5, 5, 9];
    const waiting: string[] = [];
    for (const priority of order) {
      waiting.push((await dance({ backend: "single", priority })).data.job_id);
    }
    const place = async (id: string) => (await gateway.call("GET", `/jobs/${id}`)).data.queue;
    const places = await Promise.all(waiting.map(place));
    expect(places.map(({ position }) => position)).toEqual([3, 1, 2, 0]);
    expect(places[0]).toEqual({ position: 3, ahead: 3, wait_reason: "backend_busy", eta: null });
    await release("door");
    const jobs = await Promise.all(waiting.map((id) => gateway.ended(id)));
    const started = jobs.map((job, index) => ({ index, at: Date.parse(job.started_at) }));
    // Equal milliseconds are possible: the sort is stable, so give it the expected order first.
    const expected = [3, 1, 2, 0];
    const sorted = expected.map((index) => started[index]!).sort((a, b) => a.at - b.at);
    expect(sorted.map(({ index }) => index)).toEqual(expected);
  });

  test("Idempotency-Key: the same job again; another body or a bad key is refused", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const [one, two] = await Promise.all([dance({}, headers), dance({}, headers)]);
    expect(two.data.job_id).toBe(one.data.job_id);
    const replayed = [one, two].filter(
      ({ headers }) => headers.get("idempotent-replayed") === "true",
    );
    expect(replayed).toHaveLength(1);
    await gateway.ended(one.data.job_id);
    const later = await dance({}, headers);
    expect([later.status, later.data.status]).toEqual([200, "completed"]);
    const other = await dance({ text: "a waltz" }, headers);
    expect([other.status, other.error.code]).toEqual([422, "IDEMPOTENCY_MISMATCH"]);
    const long = await dance({}, { "idempotency-key": "x".repeat(256) });
    expect([long.status, long.error.code]).toEqual([422, "VALIDATION_FAILED"]);
    const { key } = (await gateway.call("POST", "/auth/keys", { name: "other" })).data;
    const theirs = await dance({ text: "a waltz" }, headers, key);
    expect(theirs.status).toBe(202);
    expect(theirs.data.job_id).not.toBe(one.data.job_id);
  });

  test("a repeated request gets its job although the key has reached its limit", async () => {
    const limits = { active_jobs: 1 };
    const { key } = (await gateway.call("POST", "/auth/keys", { name: "one", limits })).data;
    const headers = { "idempotency-key": crypto.randomUUID() };
    const first = await dance({ hold: "limit" }, headers, key);
    expect(first.status).toBe(202);
    const another = await dance({}, {}, key);
    expect([another.status, another.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
    const again = await dance({ hold: "limit" }, headers, key);
    expect([again.status, again.data.job_id]).toEqual([202, first.data.job_id]);
    await release("limit");
  });

  test("Prefer: wait answers with the finished job, or 202 when the time is over", async () => {
    const done = await dance({}, { prefer: "wait=10" });
    expect([done.status, done.data.status]).toEqual([200, "completed"]);
    expect(done.headers.get("preference-applied")).toBe("wait=10");
    const failed = await dance({ fail: "no" }, { prefer: "wait=10" });
    expect([failed.status, failed.data.status]).toEqual([200, "failed"]);
    const slow = await dance({ hold: "slow" }, { prefer: "wait=1" });
    expect([slow.status, slow.data]).toEqual([
      202,
      { job_id: slow.data.job_id, status: expect.stringMatching(/pending|running/) },
    ]);
    await release("slow");
    const async = await dance({ hold: "slow" }, { prefer: "respond-async, wait=10" });
    expect([async.status, async.headers.get("preference-applied")]).toEqual([202, null]);
    await release("slow");
  });

  test("cancel: at once for the client, 409 with the job afterwards, purge removes it", async () => {
    const { data } = await dance({ hold: "never", file: "words" });
    await eventually("it runs", async () => (await statusOf(data.job_id)) === "running");
    const path = `/jobs/${data.job_id}`;
    const tooSoon = await gateway.call("DELETE", `${path}?purge=true`);
    expect([tooSoon.status, tooSoon.error.code]).toEqual([409, "JOB_NOT_FINISHED"]);
    const cancelled = await gateway.call("DELETE", path);
    expect([cancelled.status, cancelled.data.status]).toEqual([200, "cancelled"]);
    const again = await gateway.call("DELETE", path);
    expect([again.status, again.error.code]).toEqual([409, "JOB_ALREADY_FINISHED"]);
    expect(again.error.details.job).toMatchObject({ job_id: data.job_id, status: "cancelled" });
    const post = await gateway.call("POST", `${path}/cancel`);
    expect(post.status).toBe(409);
    const retried = await gateway.call("POST", `${path}/retry`);
    expect(retried.status).toBe(202);
    expect(retried.data.job_id).not.toBe(data.job_id);
    const second = await gateway.call("POST", `/jobs/${retried.data.job_id}/cancel`);
    expect(second.data).toMatchObject({ status: "cancelled", retried_from: data.job_id });
    expect((await gateway.call("DELETE", `${path}?purge=true`)).status).toBe(200);
    expect((await gateway.call("GET", path)).status).toBe(404);
    expect((await gateway.call("DELETE", path)).status).toBe(404);
    const completed = await dance({ file: "words" });
    const { output } = await gateway.ended(completed.data.job_id);
    const { url } = output.artifacts[0];
    await gateway.call("DELETE", `/jobs/${completed.data.job_id}?purge=true`);
    expect((await gateway.call("GET", url)).status).toBe(404);
  });

  test("120 jobs come in pages, newest first, each once; filters narrow them", async () => {
    const wishes = { name: "pages", preset: "client" };
    const { key } = (await gateway.call("POST", "/auth/keys", wishes)).data;
    const made: string[] = [];
    for (let index = 0; index < 120; index++) {
      const body = { tag: index % 3 === 0 ? "third" : "rest", ...(index === 60 && { fail: "x" }) };
      made.push((await dance(body, {}, key)).data.job_id);
    }
    const list = async (query: string) =>
      (await gateway.call("GET", `/jobs?${query}`, undefined, { key })).data;
    await eventually("all have ended", async () => {
      return (await list("status=pending,running")).items.length === 0;
    });
    const seen: string[] = [];
    const sizes: number[] = [];
    let after = "";
    do {
      const page = await list(`limit=50${after}`);
      sizes.push(page.items.length);
      seen.push(...page.items.map((job: any) => job.job_id));
      expect(page.has_more).toBe(page.next_cursor !== null);
      after = page.next_cursor === null ? "" : `&after=${page.next_cursor}`;
    } while (after !== "");
    expect(sizes).toEqual([50, 50, 20]);
    expect(seen).toEqual([...made].reverse());
    expect((await list("")).items).toHaveLength(50);
    expect((await list("limit=100&tag=third")).items).toHaveLength(40);
    expect((await list("status=failed")).items.map((job: any) => job.job_id)).toEqual([made[60]]);
    expect((await list("limit=1&status=completed,failed")).items[0].job_id).toBe(made[119]);
    expect((await list("capability=image.generate")).items).toEqual([]);
    // Whichever of the two was free took it.
    const own = (await list("backend=puppet&limit=100")).items;
    expect(own.length).toBeGreaterThan(0);
    expect(own.every((job: any) => job.backend === "puppet")).toBe(true);
    const since = (await gateway.call("GET", `/jobs/${made[100]}`, undefined, { key })).data;
    const recent = await list(`limit=100&since=${encodeURIComponent(since.created_at)}`);
    expect(recent.items.length).toBeWithin(20, 60);
    for (const odd of ["limit=101", "limit=0", "limit=x", "after=x", "status=done"]) {
      const answer = await gateway.call("GET", `/jobs?${odd}`, undefined, { key });
      expect([odd, answer.status]).toEqual([odd, 422]);
    }
    const unknown = await list(`after=${UNKNOWN_JOB}`);
    expect(unknown.items.length).toBeLessThanOrEqual(50);
  }, 20_000);

  test("a key's limits: RateLimit headers, 429 with Retry-After, unfinished jobs", async () => {
    const limits = { requests_per_minute: 5, active_jobs: 2 };
    const { key } = (await gateway.call("POST", "/auth/keys", { name: "small", limits })).data;
    const ask = () => gateway.call("GET", "/auth/me", undefined, { key });
    const answers = [];
    for (let round = 0; round < 6; round++) answers.push(await ask());
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(answers[0]!.headers.get("ratelimit-policy")).toBe('"burst";q=5;w=60');
    expect(answers[0]!.headers.get("ratelimit")).toMatch(/^"burst";r=4;t=\d+$/);
    const limited = answers[5]!;
    expect(limited.error).toMatchObject({ code: "RATE_LIMITED", details: { retryable: true } });
    expect(Number(limited.headers.get("retry-after"))).toBeWithin(1, 13);
    expect(limited.headers.get("ratelimit")).toMatch(/^"burst";r=0;t=\d+$/);

    const few = { name: "few", limits: { active_jobs: 2 } };
    const other = (await gateway.call("POST", "/auth/keys", few)).data.key;
    const held = await Promise.all(
      ["a", "b", "c"].map((hold) => dance({ hold: `limit-${hold}` }, {}, other)),
    );
    expect(held.map(({ status }) => status).sort()).toEqual([202, 202, 429]);
    const refused = held.find(({ status }) => status === 429)!;
    expect(refused.error.code).toBe("QUOTA_EXCEEDED");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    const [one] = held.filter(({ status }) => status === 202);
    await gateway.call("DELETE", `/jobs/${one!.data.job_id}`, undefined, { key: other });
    expect((await dance({}, {}, other)).status).toBe(202);
  });
});
