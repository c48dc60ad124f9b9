/** REL-10: a stop in order keeps every promise that was made before it. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";

const DRAIN_MS = 2_000;
const SOCKETS = 200;
/** Signals closer together than 300 ms count as one. */
const SAME_REQUEST_MS = 400;
const settings = `jobs: { drain_timeout_ms: ${DRAIN_MS} }`;

/** Watches a job until the connection ends; resolves with the close code. */
function watch(gateway: Gateway, id: string): { open: Promise<void>; closed: Promise<number> } {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/ws/jobs/${id}`, {
    headers: { "x-api-key": gateway.key },
  } as never);
  return {
    open: new Promise((resolve) => socket.addEventListener("message", () => resolve())),
    closed: new Promise((resolve) => socket.addEventListener("close", (e) => resolve(e.code))),
  };
}

describe("REL-10, drain", () => {
  const gateways: Gateway[] = [];
  const start = async (folder: string, useKey?: string) => {
    const config = workConfig(folder, "", settings);
    const gateway = await startGateway({ folder, config, useKey });
    gateways.push(gateway);
    return gateway;
  };
  afterEach(async () => {
    for (const gateway of gateways.splice(0)) await gateway.remove();
  });

  test(`SIGTERM with 3 jobs, ${SOCKETS} WebSockets, a download and a stream`, async () => {
    const folder = temporaryFolder();
    const gateway = await start(folder);
    const made = await gateway.call(
      "POST",
      "/test/rerun",
      { bytes: 8 * 1024 * 1024 },
      {
        headers: { prefer: "wait=10" },
      },
    );
    const { url } = made.data.output.artifacts[0];

    // Three that run: two end within the drain, one does not. All three callers wait.
    const wait = { headers: { prefer: "wait=60" } };
    const replies = [700, 900, 60_000].map((ms) =>
      gateway.call("POST", "/test/resume", { ms, ticks: 10 }, wait),
    );
    const running = await eventually("three jobs run", async () => {
      const { data } = await gateway.call("GET", "/jobs?status=running");
      return data.items.length === 3 && data.items;
    });
    const longId = running.find((job: any) => job.input.ms === 60_000).job_id;
    const waiting = await gateway.call("POST", "/test/rerun", { ms: 1, start_by: later() });
    expect(waiting.status).toBe(202);

    const sockets = Array.from({ length: SOCKETS }, () => watch(gateway, longId));
    await Promise.all(sockets.map(({ open }) => open));
    const stream = await fetch(`${gateway.url}/jobs/${longId}/events`, {
      headers: { "x-api-key": gateway.key },
    });
    const streamed = stream.text();
    const download = slowDownload(gateway, url);
    await download.begun;

    const stoppedAt = performance.now();
    gateway.child.kill("SIGTERM");
    await eventually("new work is refused", async () => {
      const late = await gateway.call("POST", "/test/rerun", { ms: 1 });
      if (late.status !== 503) return false;
      expect(late.error.code).toBe("SHUTTING_DOWN");
      expect(late.headers.get("retry-after")).toMatch(/^\d+$/);
      return true;
    });
    expect((await gateway.call("GET", "/ready")).status).toBe(503);
    expect((await gateway.call("GET", `/jobs/${longId}`)).status).toBe(200);
    const lateSocket = await watch(gateway, longId).closed;
    expect(lateSocket).not.toBe(1000);
    for (const path of [`/jobs/${longId}/events`, `/ws/jobs/${longId}`]) {
      const late = await gateway.call("GET", path);
      expect([late.status, late.error?.code]).toEqual([503, "SHUTTING_DOWN"]);
    }

    const codes = await Promise.all(sockets.map(({ closed }) => closed));
    expect(codes.filter((code) => code === 1012)).toHaveLength(SOCKETS);
    expect(await streamed).toContain("event: job.started");

    const answers = await Promise.all(replies);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 202]);
    expect(answers[0]?.data.status).toBe("completed");
    expect((await download.ended).head).toStartWith("HTTP/1.1 200");
    const code = await gateway.stop("SIGCONT");
    const tookMs = performance.now() - stoppedAt;
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(DRAIN_MS + 2_000);

    // What was left running is adopted, and nobody's crash.
    const next = await start(folder, gateway.key);
    const adopted = await eventually("the long job runs again", async () => {
      const { data } = await next.call("GET", `/jobs/${longId}`);
      return data.status === "running" && data;
    });
    expect(adopted.attempts).toBe(2);
    expect((await next.ended(waiting.data.job_id)).status).toBe("completed");
    const journal = await Bun.file(`${folder}/journal`).text();
    expect(journal.match(new RegExp(`submit ${longId}`, "g"))).toHaveLength(1);
  }, 30_000);

  test("a second SIGTERM ends it within a second, and not as a crash of its jobs", async () => {
    const folder = temporaryFolder();
    let gateway = await start(folder);
    const { data } = await gateway.call("POST", "/test/resume", { ms: 60_000 });
    const path = `/jobs/${data.job_id}`;
    // One more than the crashes that make a job poisonous.
    for (let stop = 1; stop <= 4; stop++) {
      await eventually("it runs", async () => {
        return (await gateway.call("GET", path)).data.status === "running";
      });
      const asked = performance.now();
      gateway.child.kill("SIGTERM");
      await eventually(
        "it drains",
        async () => (await gateway.call("GET", "/ready")).status === 503,
      );
      // Sooner, it would be the same request: launchers pass signals on.
      await eventually("a second request", () => performance.now() - asked > SAME_REQUEST_MS);
      const before = performance.now();
      expect(await gateway.stop("SIGTERM")).not.toBe(0);
      expect(performance.now() - before).toBeLessThan(1_000);
      gateway = await start(folder, gateway.key);
    }
    expect((await gateway.call("GET", path)).data).toMatchObject({ error: null });
  }, 30_000);
});

const later = () => new Date(Date.now() + 3_600_000).toISOString();

/** Reads a kilobyte now and then, over a plain socket. */
function slowDownload(gateway: Gateway, path: string) {
  const { port } = new URL(gateway.url);
  const socket = connect(Number(port), "127.0.0.1");
  let head = "";
  let bytes = 0;
  const begun = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      if (head === "") head = chunk.toString("latin1");
      bytes += chunk.length;
      socket.pause();
      setTimeout(() => socket.resume(), 50);
      resolve();
    });
  });
  const ended = new Promise<{ head: string; bytes: number }>((resolve) => {
    socket.on("close", () => resolve({ head, bytes }));
  });
  socket.on("error", () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${gateway.key}\r\n\r\n`);
  return { begun, ended };
}
