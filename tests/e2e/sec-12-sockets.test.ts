/** SEC-12: sockets open for whom they should, and no client can hurt the gateway through one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { handshake, sendRaw } from "./raw.ts";
import { PUPPET, UNKNOWN_JOB } from "./table.ts";
import { openSocket, openStream } from "./watch.ts";

const PAGE = "https://app.example.org";
const CONFIG = `
http: { allowed_origins: ["${PAGE}"] }
auth: { failures_per_minute: 0 }
backends: { puppet: { use: ${PUPPET}, concurrency: 100 } }
`;

describe(`SEC-12 sockets on ${RUNTIME}`, () => {
  let gateway: Gateway;
  /** A job that runs for as long as the tests do. */
  let job: string;
  let path: string;

  beforeAll(async () => {
    gateway = await startGateway({ config: CONFIG });
    job = await hold(gateway.key);
    path = `/ws/jobs/${job}`;
  });
  afterAll(() => gateway.remove());

  async function hold(key: string): Promise<string> {
    const dance = { text: "a jig", hold: crypto.randomUUID() };
    const { status, data, text } = await gateway.call("POST", "/generate/dance", dance, { key });
    if (status !== 202) throw new Error(text);
    return data.job_id;
  }

  async function newKey(wishes: object = {}): Promise<{ key: string; id: string }> {
    return (await gateway.call("POST", "/auth/keys", { name: "test", ...wishes })).data;
  }

  async function ticketFor(body: object, headers: Record<string, string> = {}, key?: string) {
    const { data, text } = await gateway.call("POST", "/auth/ws-ticket", body, { headers, key });
    if (!data) throw new Error(text);
    return data.ticket as string;
  }

  const refusal = async (target: string, headers: Record<string, string> = {}) => {
    const { status, body } = await handshake(gateway.url, target, headers);
    return [status, status === 101 ? "" : JSON.parse(body).error.code];
  };

  test("without a key, with a wrong key and with a key in the URL it is refused", async () => {
    expect(await refusal(path)).toEqual([401, "UNAUTHORIZED"]);
    expect(await refusal(path, { "X-API-Key": "wrong" })).toEqual([401, "UNAUTHORIZED"]);
    for (const name of ["key", "api_key", "token", "ticket"]) {
      const target = `${path}?${name}=${gateway.key}`;
      expect(await refusal(target)).toEqual([401, "UNAUTHORIZED"]);
    }
  });

  test("a key without jobs:read, another's job and an unknown job are refused", async () => {
    const narrow = await newKey({ scopes: ["tts"] });
    expect(await refusal(path, { "X-API-Key": narrow.key })).toEqual([403, "FORBIDDEN_SCOPE"]);
    const other = await newKey({ preset: "client" });
    expect(await refusal(path, { "X-API-Key": other.key })).toEqual([404, "NOT_FOUND"]);
    const unknown = `/ws/jobs/${UNKNOWN_JOB}`;
    expect(await refusal(unknown, { "X-API-Key": gateway.key })).toEqual([404, "NOT_FOUND"]);
    const odd = "/ws/jobs/..%2f..%2fhealth";
    expect(await refusal(odd, { "X-API-Key": gateway.key })).toEqual([404, "NOT_FOUND"]);
  });

  test("pages of other origins are refused, those of listed ones are not", async () => {
    const auth = { "X-API-Key": gateway.key };
    for (const origin of [
      "https://evil.example",
      "null",
      `${PAGE}.evil.example`,
      "http://localhost",
    ]) {
      expect([origin, ...(await refusal(path, { ...auth, Origin: origin }))]).toEqual([
        origin,
        403,
        "ORIGIN_NOT_ALLOWED",
      ]);
    }
    expect(await refusal(path, { ...auth, Origin: PAGE })).toEqual([101, ""]);
    expect(await refusal(path, { ...auth, Origin: gateway.url })).toEqual([101, ""]);
  });

  test("a ticket opens the socket once, and then no more", async () => {
    const ticket = await ticketFor({ job_id: job });
    const watcher = openSocket(gateway, `${path}?ticket=${ticket}`, { key: null });
    expect((await watcher.first("snapshot")).data.job_id).toBe(job);
    expect(await refusal(`${path}?ticket=${ticket}`)).toEqual([401, "UNAUTHORIZED"]);
    watcher.socket.close();
    expect(gateway.output()).not.toContain(ticket);
  });

  test("a ticket opens the alias and the event stream too, each once", async () => {
    const alias = await ticketFor({ job_id: job });
    expect(await refusal(`/jobs/ws/jobs/${job}?ticket=${alias}`)).toEqual([101, ""]);
    const ticket = await ticketFor({ job_id: job });
    const target = `/jobs/${job}/events?ticket=${ticket}`;
    const stream = await openStream(gateway, "GET", target, { key: null });
    expect(stream.status).toBe(200);
    await stream.first("job.created");
    stream.leave();
    expect((await gateway.call("GET", target, undefined, { key: null })).status).toBe(401);
  });

  test("a ticket for another job, path, origin or owner opens nothing", async () => {
    const second = await hold(gateway.key);
    const wrongJob = await ticketFor({ job_id: second });
    expect(await refusal(`${path}?ticket=${wrongJob}`)).toEqual([401, "UNAUTHORIZED"]);
    const onlyPath = await ticketFor({ path: `/jobs/${job}/preview` });
    expect(await refusal(`${path}?ticket=${onlyPath}`)).toEqual([401, "UNAUTHORIZED"]);
    const page = await ticketFor({ job_id: job }, { origin: PAGE });
    const elsewhere = { Origin: gateway.url };
    expect(await refusal(`${path}?ticket=${page}`, elsewhere)).toEqual([401, "UNAUTHORIZED"]);
    const other = await newKey({ preset: "client" });
    const theirs = await ticketFor({ job_id: job }, {}, other.key);
    expect(await refusal(`${path}?ticket=${theirs}`)).toEqual([404, "NOT_FOUND"]);
    expect(await refusal(`${path}?ticket=AAAA`)).toEqual([401, "UNAUTHORIZED"]);
  });

  test("a ticket of a key that was revoked meanwhile opens nothing", async () => {
    const { key, id } = await newKey({ preset: "client" });
    const own = await hold(key);
    const ticket = await ticketFor({ job_id: own }, {}, key);
    await gateway.call("DELETE", `/auth/keys/${id}`);
    expect(await refusal(`/ws/jobs/${own}?ticket=${ticket}`)).toEqual([401, "UNAUTHORIZED"]);
  });

  test("a ticket works only where routes say so", async () => {
    const ticket = await ticketFor({ path: "/jobs" });
    const answer = await gateway.call("GET", `/jobs?ticket=${ticket}`, undefined, { key: null });
    expect(answer.status).toBe(401);
  });

  test("the key as second subprotocol opens it, and only sy.v1 is selected", async () => {
    const protocols = ["sy.v1", `sy.key.${gateway.key}`];
    const watcher = openSocket(gateway, path, { key: null, protocols });
    await watcher.first("snapshot");
    expect(watcher.socket.protocol).toBe("sy.v1");
    watcher.socket.close();
    const offered = { "Sec-WebSocket-Protocol": `sy.key.${gateway.key}` };
    expect(await refusal(path, offered)).toEqual([401, "UNAUTHORIZED"]);
    const wrong = { "Sec-WebSocket-Protocol": "sy.v1, sy.key.wrong" };
    expect(await refusal(path, wrong)).toEqual([401, "UNAUTHORIZED"]);
  });

  test("a handshake that is none gets 4xx in the envelope", async () => {
    const lines = [`Host: ${new URL(gateway.url).host}`, `X-API-Key: ${gateway.key}`];
    const odd: string[][] = [
      [],
      ["Upgrade: websocket"],
      ["Upgrade: websocket", "Connection: Upgrade"],
      ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"],
      ["Upgrade: h2c", "Connection: Upgrade"],
    ];
    for (const method of ["GET", "HEAD"]) {
      for (const headers of odd) {
        const text = [`${method} ${path} HTTP/1.1`, ...lines, ...headers];
        const { status, body } = await sendRaw(gateway.url, `${text.join("\r\n")}\r\n\r\n`);
        expect([method, headers, status]).toEqual([method, headers, 400]);
        if (method === "GET") expect(JSON.parse(body).error.code).toBe("BAD_REQUEST");
      }
    }
  });

  test("a frame of 1 MB, and binary frames, close the socket", async () => {
    const large = openSocket(gateway, path);
    await large.first("snapshot");
    large.socket.send("x".repeat(1024 * 1024));
    expect([1006, 1009]).toContain(await large.closed);
    const binary = openSocket(gateway, path);
    await binary.first("snapshot");
    binary.socket.send(new Uint8Array([1, 2, 3]));
    expect(await binary.closed).toBe(1003);
  });

  test("10,000 messages close the socket and cost the others nothing", async () => {
    const quiet = openSocket(gateway, path);
    await quiet.first("snapshot");
    const loud = openSocket(gateway, path);
    await loud.first("snapshot");
    for (let round = 0; round < 10_000; round++) {
      loud.socket.send(round % 2 === 0 ? "hello" : '{"type":"resume","after":0}');
    }
    expect([1006, 1008]).toContain(await loud.closed);
    // Each `resume` is answered from the log, at most as often as messages are taken.
    expect(loud.messages.length).toBeLessThan(1_000);
    expect((await gateway.call("GET", "/health")).status).toBe(200);
    expect(quiet.socket.readyState).toBe(WebSocket.OPEN);
    quiet.socket.close();
  });

  test("odd messages change nothing", async () => {
    const watcher = openSocket(gateway, path);
    await watcher.first("snapshot");
    const odd = [
      "",
      "null",
      "[]",
      '"x"',
      "{",
      '{"type":"resume"}',
      '{"type":"resume","after":"1"}',
    ];
    for (const text of [...odd, '{"type":"resume","after":-1e99}', '{"type":"close"}', "1e999"]) {
      watcher.socket.send(text);
    }
    watcher.socket.send('{"type":"resume","after":0}');
    await watcher.first("job.created");
    expect(watcher.messages.filter(({ type }) => type === "snapshot")).toHaveLength(2);
    watcher.socket.close();
  });

  test("revoking a key closes its sockets with 4401 within about a second", async () => {
    const { key, id } = await newKey({ preset: "client" });
    const own = await hold(key);
    const watcher = openSocket(gateway, `/ws/jobs/${own}`, { key });
    const bystander = openSocket(gateway, path);
    await Promise.all([watcher.first("snapshot"), bystander.first("snapshot")]);
    const start = performance.now();
    await gateway.call("DELETE", `/auth/keys/${id}`);
    expect(await watcher.closed).toBe(4401);
    expect(performance.now() - start).toBeLessThan(1_500);
    expect(bystander.socket.readyState).toBe(WebSocket.OPEN);
    bystander.socket.close();
  });

  test("revoking a key ends its event streams too", async () => {
    const { key, id } = await newKey({ preset: "client" });
    const own = await hold(key);
    const stream = await openStream(gateway, "GET", `/jobs/${own}/events`, { key });
    const mine = await openStream(gateway, "GET", `/jobs/${job}/events`);
    await Promise.all([stream.first("job.created"), mine.first("job.created")]);
    let over = false;
    void mine.ended.then(() => {
      over = true;
    });
    await gateway.call("DELETE", `/auth/keys/${id}`);
    await eventually("the stream ends", () => stream.ended.then(() => true), 2_000);
    expect(over).toBe(false);
    mine.leave();
  });

  test("a key that expires loses its sockets", async () => {
    const { key } = await newKey({ preset: "client", expires_in_ms: 1_500 });
    const own = await hold(key);
    const watcher = openSocket(gateway, `/ws/jobs/${own}`, { key });
    await watcher.first("snapshot");
    expect(await watcher.closed).toBe(4401);
  });

  test("after all of this the gateway is well", async () => {
    expect((await gateway.call("GET", "/ready")).data).toEqual({ ready: true });
    expect(gateway.output()).not.toContain('"level":"error"');
    expect(gateway.output()).not.toContain("stray");
  });
});
