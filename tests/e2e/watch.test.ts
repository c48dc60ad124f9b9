/** Watching a job: events in order, without gap or duplicate, on SSE and on WebSockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { PUPPET } from "./table.ts";
import { type Message, openSocket, openStream } from "./watch.ts";

describe(`watching a job on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `backends: { puppet: { use: ${PUPPET}, concurrency: 10 } }\n`,
    });
  });
  afterAll(() => gateway.remove());

  async function start(body: object = {}): Promise<string> {
    const { data, text } = await gateway.call("POST", "/generate/dance", {
      text: "a jig",
      ...body,
    });
    if (!data) throw new Error(text);
    return data.job_id;
  }
  const release = (name: string) =>
    eventually(`${name} is held`, async () => {
      const { data } = await gateway.call("POST", "/puppet/release", { name });
      return data.released as boolean;
    });
  const numbers = (messages: readonly Message[]) => messages.map(({ seq }) => seq);
  const upTo = (last: number, from = 1) =>
    Array.from({ length: last - from + 1 }, (_, i) => from + i);
  const isDelta = ({ type }: Message) => type === "job.delta";
  const textOf = (messages: readonly Message[]) =>
    messages
      .filter(isDelta)
      .map(({ data }) => data.text)
      .join("");

  test("an event stream tells a whole life and ends", async () => {
    const job = await start({ pieces: 5, file: "words" });
    const stream = await openStream(gateway, "GET", `/jobs/${job}/events`);
    expect(stream.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(stream.headers.get("x-accel-buffering")).toBe("no");
    expect(stream.headers.get("cache-control")).toBe("no-store");
    await stream.ended;
    const types = stream.events.map(({ type }) => type);
    expect(types[0]).toBe("job.created");
    expect(types).toContain("job.started");
    expect(types.at(-1)).toBe("job.completed");
    expect(numbers(stream.events)).toEqual(upTo(stream.events.length));
    for (const { id, event, type, seq } of stream.events)
      expect([id, event]).toEqual([`${seq}`, type]);
    expect(textOf(stream.events)).toBe("1 2 3 4 5 ");
    const again = await openStream(gateway, "GET", `/jobs/${job}/events`);
    await again.ended;
    expect(again.events).toEqual(stream.events);
  });

  test("a stream resumes after Last-Event-ID without a gap or a duplicate", async () => {
    const job = await start({ pieces: 40 });
    const path = `/jobs/${job}/events`;
    const seen: Message[] = [];
    for (let leaps = 0; leaps < 4; leaps++) {
      const last = seen.at(-1)?.seq;
      const headers = last === undefined ? {} : { "last-event-id": String(last) };
      const stream = await openStream(gateway, "GET", path, { headers });
      await eventually("some more events", () => stream.events.length >= 6);
      stream.leave();
      seen.push(...stream.events);
    }
    const rest = await openStream(gateway, "GET", `${path}?after=${seen.at(-1)?.seq}`);
    await rest.ended;
    seen.push(...rest.events);
    expect(numbers(seen)).toEqual(upTo(seen.length));
    expect(seen.at(-1)?.type).toBe("job.completed");
    expect(textOf(seen)).toBe(
      upTo(40)
        .map((piece) => `${piece} `)
        .join(""),
    );
  });

  test("after the last event of a finished job there is 204, so that browsers stop asking", async () => {
    const job = await start();
    const { seq } = await gateway.ended(job);
    for (const after of [seq, seq + 10]) {
      const answer = await gateway.call("GET", `/jobs/${job}/events?after=${after}`);
      expect([answer.status, answer.text]).toEqual([204, ""]);
    }
  });

  test("a client that names an event which never was gets a reset, and then what comes", async () => {
    const job = await start({ hold: "reset" });
    await eventually("it runs", async () => {
      return (await gateway.call("GET", `/jobs/${job}`)).data.status === "running";
    });
    const stream = await openStream(gateway, "GET", `/jobs/${job}/events?after=5000`);
    const reset = await stream.first("reset");
    expect(reset).toMatchObject({ data: { job_id: job, status: "running" } });
    await release("reset");
    await stream.ended;
    expect(stream.events.at(-1)?.type).toBe("job.completed");
  });

  test("POST with Accept: text/event-stream answers with the job's events", async () => {
    const body = { text: "a jig", pieces: 3 };
    const stream = await openStream(gateway, "POST", "/generate/dance", { body });
    expect(stream.status).toBe(200);
    const job = stream.headers.get("x-gateway-job");
    expect(stream.headers.get("location")).toBe(`/jobs/${job}`);
    await stream.ended;
    expect(stream.events.at(-1)?.type).toBe("job.completed");
    expect(textOf(stream.events)).toBe("1 2 3 ");
  });

  test("who merely watches may go away; who asked with stream: true cancels by going", async () => {
    const body = { text: "a jig", hold: "watched" };
    const watching = await openStream(gateway, "POST", "/generate/dance", { body });
    await watching.first("job.started");
    watching.leave();
    await watching.ended;
    await release("watched");
    const kept = watching.headers.get("x-gateway-job")!;
    expect((await gateway.ended(kept)).status).toBe("completed");

    const streamed = { ...body, hold: "abandoned", stream: true };
    const asking = await openStream(gateway, "POST", "/generate/dance", { body: streamed });
    await asking.first("job.started");
    asking.leave();
    const cancelled = await gateway.ended(asking.headers.get("x-gateway-job")!);
    expect(cancelled.status).toBe("cancelled");
  });

  test("a socket begins with a snapshot, tells what follows, and closes with 1000", async () => {
    for (const prefix of ["/ws/jobs/", "/jobs/ws/jobs/"]) {
      const job = await start({ hold: "socket" });
      await eventually("it runs", async () => {
        return (await gateway.call("GET", `/jobs/${job}`)).data.status === "running";
      });
      const watcher = openSocket(gateway, prefix + job);
      const snapshot = await watcher.first("snapshot");
      expect(snapshot.data).toMatchObject({ job_id: job, status: "running" });
      expect(snapshot.seq).toBe(snapshot.data.seq);
      await release("socket");
      expect(await watcher.closed).toBe(1000);
      const [first, ...events] = watcher.messages;
      expect(first).toEqual(snapshot);
      expect(numbers(events)).toEqual(upTo(snapshot.seq + events.length, snapshot.seq + 1));
      expect(events.at(-1)).toMatchObject({ type: "job.completed", job_id: job });
    }
  });

  test("?after= brings the past too, also of a job that has ended", async () => {
    const job = await start({ pieces: 4 });
    const { seq } = await gateway.ended(job);
    const all = openSocket(gateway, `/ws/jobs/${job}?after=0`);
    expect(await all.closed).toBe(1000);
    expect(numbers(all.messages.slice(1))).toEqual(upTo(seq));
    const part = openSocket(gateway, `/ws/jobs/${job}?after=3`);
    expect(await part.closed).toBe(1000);
    expect(numbers(part.messages.slice(1))).toEqual(upTo(seq, 4));
    const none = openSocket(gateway, `/ws/jobs/${job}`);
    expect(await none.closed).toBe(1000);
    expect(none.messages.map(({ type }) => type)).toEqual(["snapshot"]);
    expect(none.messages[0]!.data.status).toBe("completed");
  });

  test("a resume message brings the past from there on, and then the future", async () => {
    const job = await start({ pieces: 3, hold: "resume" });
    const watcher = openSocket(gateway, `/ws/jobs/${job}`);
    await watcher.first("snapshot");
    const told = watcher.messages.length;
    watcher.socket.send('{"type":"resume","after":1}');
    await eventually("a second snapshot", () => {
      return watcher.messages.slice(told).some(({ type }) => type === "snapshot");
    });
    await release("resume");
    expect(await watcher.closed).toBe(1000);
    const second = watcher.messages.findLastIndex(({ type }) => type === "snapshot");
    const events = watcher.messages.slice(second + 1);
    expect(numbers(events)).toEqual(upTo(events.length + 1, 2));
    expect(events.at(-1)?.type).toBe("job.completed");
  });

  test("sockets and streams of one job see the same events", async () => {
    const job = await start({ pieces: 10 });
    const sockets = Array.from({ length: 5 }, () => openSocket(gateway, `/ws/jobs/${job}?after=0`));
    const streams = await Promise.all(
      Array.from({ length: 5 }, () => openStream(gateway, "GET", `/jobs/${job}/events`)),
    );
    await Promise.all([
      ...sockets.map(({ closed }) => closed),
      ...streams.map(({ ended }) => ended),
    ]);
    const [reference] = streams;
    const expected = numbers(reference!.events);
    for (const { events } of streams) expect(numbers(events)).toEqual(expected);
    for (const { messages } of sockets) expect(numbers(messages.slice(1))).toEqual(expected);
  });

  test("stopping the gateway closes sockets with 1012 and ends streams", async () => {
    const stopping = await startGateway({
      config: `jobs: { drain_timeout_ms: 200 }\nbackends: { puppet: { use: ${PUPPET} } }\n`,
    });
    try {
      const dance = { text: "a jig", hold: "never" };
      const { data } = await stopping.call("POST", "/generate/dance", dance);
      const watcher = openSocket(stopping, `/ws/jobs/${data.job_id}`);
      const stream = await openStream(stopping, "GET", `/jobs/${data.job_id}/events`);
      await Promise.all([watcher.first("snapshot"), stream.first("job.created")]);
      const stopped = stopping.stop();
      expect(await watcher.closed).toBe(1012);
      await stream.ended;
      expect(await stopped).toBe(0);
    } finally {
      await stopping.remove();
    }
  });
});
