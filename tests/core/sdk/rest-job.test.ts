/** The REST adapter against servers that answer as the known ones do, and worse. */
import { afterEach, expect, test } from "bun:test";
import { definePlugin, type RestJob, restJob } from "switchyard/sdk";
import { createTestContext, createTestJob, type TestJob, until } from "switchyard/sdk/testing";
import { failure, serve, stopServers } from "./server.ts";

afterEach(stopServers);

const plugin = definePlugin({
  apiVersion: 1,
  name: "box",
  version: "0.1.0",
  title: "Music Box",
  summary: "A server of the tests.",
  config: {},
  capabilities: {},
  health: async () => ({ status: "ready" }),
});

type Input = Record<string, unknown>;

const asynchronous = {
  title: "Music Box",
  submit: { path: "/songs", body: { text: "{{prompt}}" }, id: "$.id" },
  status: {
    path: "/songs/{{id}}",
    field: "$.status",
    running: ["running"],
    done: ["done"],
    failed: ["failed"],
    cancelled: ["cancelled"],
    error: "$.error",
    intervalMs: 5,
  },
  result: { kind: "bytes", path: "/songs/{{id}}/file", name: "song" },
  cancel: { method: "POST", path: "/songs/{{id}}/cancel" },
  health: { path: "/health", expect: { "$.status": ["ok"] } },
} satisfies RestJob<unknown, Input>;

const wav = (text = "RIFF song") =>
  new Response(text, { headers: { "content-type": "audio/wav" } });
const notFound = () => Response.json({ error: "not found" }, { status: 404 });

type Answers = Readonly<Record<string, (request: Request) => Response | Promise<Response>>>;

/** A server with one answer per "METHOD /path?query". */
function answering(answers: Answers) {
  return serve((request) => {
    const { pathname, search } = new URL(request.url);
    return (answers[`${request.method} ${pathname}${search}`] ?? notFound)(request);
  });
}

const taking = { "POST /songs": () => Response.json({ id: "a/b" }) };
const working = {
  ...taking,
  "GET /songs/a%2Fb": () => Response.json({ status: "done" }),
  "GET /songs/a%2Fb/file": () => wav(),
};

function start(
  baseUrl: string,
  spec: RestJob<unknown, Input> = asynchronous,
  job: TestJob<Input> = createTestJob<Input>({ prompt: "a song" }),
) {
  const ctx = createTestContext(plugin, baseUrl);
  const outcome = restJob(spec).run(job, ctx as never);
  outcome.catch(() => {});
  return { job, ctx, outcome };
}

/** What a run that was cancelled throws. */
const reasonOf = async (outcome: Promise<unknown>): Promise<unknown> => {
  const thrown: unknown = await outcome.catch((error: unknown) => error);
  return thrown instanceof Error ? thrown.message : thrown;
};

const asked = ({ seen }: { seen: { method: string; url: string }[] }) =>
  seen.map(({ method, url }) => `${method} ${url.replace(/^https?:\/\/[^/]+/, "")}`);

test("submits, asks until it is done and fetches; the id is encoded in every path", async () => {
  let asks = 0;
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json({ status: ++asks < 3 ? "running" : "done" }),
  });
  const { job, outcome } = start(server.baseUrl);
  expect(await outcome).toEqual({ files: ["/artifacts/artifact-1"] });
  expect(job.artifacts[0]).toMatchObject({ name: "song.wav", mediaType: "audio/wav" });
  expect(asked(server)).toEqual([
    "POST /songs",
    ...Array(3).fill("GET /songs/a%2Fb"),
    "GET /songs/a%2Fb/file",
  ]);
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ text: "a song" });
});

test("a value cannot leave its place in the JSON, and is not filled again", async () => {
  const server = answering(working);
  const prompt = 'a", "admin": true, "x": "{{secret}} $(id) \u0000 \n ../..';
  const spec = {
    ...asynchronous,
    submit: {
      path: "/songs",
      id: "$.id",
      body: {
        text: "{{prompt}}",
        title: "song: {{prompt}}!",
        steps: "{{steps}}",
        seed: "{{seed|options.seed|-1}}",
        style: '{{style|"pop"}}',
        list: ["{{prompt}}", "{{absent}}"],
        gone: "{{absent}}",
        fixed: { deep: true, none: null },
      },
    },
  };
  const job = createTestJob<Input>({ prompt, steps: 8, secret: "x", options: { seed: 7 } });
  await start(server.baseUrl, spec, job).outcome;
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({
    text: prompt,
    title: `song: ${prompt}!`,
    steps: 8,
    seed: 7,
    style: "pop",
    list: [prompt],
    fixed: { deep: true, none: null },
  });
});

test("names of JavaScript's own are no values", async () => {
  const server = answering(working);
  const body = { a: "{{constructor}}", b: "{{prompt.length}}", c: "{{__proto__.x|1}}" };
  const spec = { ...asynchronous, submit: { path: "/songs", id: "$.id", body } };
  await start(server.baseUrl, spec).outcome;
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ c: 1 });
});

test("a form carries texts, lists and numbers", async () => {
  const server = answering(working);
  const form = { text: "{{prompt}}", tags: "{{tags}}", seed: "{{seed}}", fast: true, no: "{{no}}" };
  const spec = { ...asynchronous, submit: { path: "/songs", id: "$.id", form } };
  const job = createTestJob<Input>({ prompt: "a&b=c", tags: ["x", "y"], seed: 3 });
  await start(server.baseUrl, spec, job).outcome;
  expect(server.seen[0]?.body).toBe("text=a%26b%3Dc&tags=x&tags=y&seed=3&fast=true");
});

test("a multipart form carries files of the request and texts as files", async () => {
  let form = new FormData();
  const server = answering({
    ...working,
    "POST /songs": async (request) => {
      form = await request.formData();
      return Response.json({ id: "a/b" });
    },
  });
  const id = "01890a5d-ac96-774b-bcce-b302099a8099";
  const files = { [id]: new File(["RIFF voice"], "../../evil.exe", { type: "audio/wav" }) };
  const multipart = {
    voice: "{{init_audio}}",
    lyrics: { file: "[00:01.00]{{lyrics}}", name: "lyrics.lrc" },
    none: "{{end_image}}",
    seconds: "{{duration_seconds|95}}",
  };
  const spec = { ...asynchronous, submit: { path: "/songs", id: "$.id", multipart } };
  const input = { prompt: "p", lyrics: "la", init_audio: { artifact_id: id } };
  await start(server.baseUrl, spec, createTestJob<Input>(input, { files })).outcome;
  const voice = form.get("voice") as File;
  expect([voice.name, await voice.text()]).toEqual(["voice.wav", "RIFF voice"]);
  expect(voice.type).toMatch(/^audio\/(x-)?wav$/);
  const lyrics = form.get("lyrics") as File;
  expect([lyrics.name, await lyrics.text()]).toEqual(["lyrics.lrc", "[00:01.00]la"]);
  expect([...form.keys()]).toEqual(["voice", "lyrics", "seconds"]);
  expect(form.get("seconds")).toBe("95");
});

test("a file in a JSON body goes as base64", async () => {
  const server = answering(working);
  const id = "01890a5d-ac96-774b-bcce-b302099a8099";
  const files = { [id]: new File(["RIFF"], "a.wav", { type: "audio/wav" }) };
  const body = { audio: "{{init_audio}}" };
  const spec = { ...asynchronous, submit: { path: "/songs", id: "$.id", body } };
  const job = createTestJob<Input>({ init_audio: { artifact_id: id } }, { files });
  await start(server.baseUrl, spec, job).outcome;
  expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({ audio: btoa("RIFF") });
});

test("after a restart the work is asked for by its id, and not submitted again", async () => {
  const server = answering(working);
  const first = start(server.baseUrl);
  await first.outcome;
  const again = createTestJob<Input>({ prompt: "a song" }, { attempt: 2, steps: first.job.steps });
  await start(server.baseUrl, asynchronous, again).outcome;
  expect(asked(server).filter((call) => call === "POST /songs")).toHaveLength(1);
  expect(again.artifacts).toHaveLength(1);
});

test("progress is a part of its end, with the server's note; without it there are signs of life", async () => {
  const steps = [
    { status: "running", progress: 10, stage: "loading" },
    { status: "running", progress: 500 },
    { status: "running", progress: "soon" },
    { status: "done" },
  ];
  let asks = 0;
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json(steps[asks++]),
  });
  const status = { ...asynchronous.status, progress: { field: "$.progress" }, note: "$.stage" };
  const { job, outcome } = start(server.baseUrl, { ...asynchronous, status });
  await outcome;
  expect(job.progressed).toEqual([
    { fraction: 0.1, note: "loading" },
    { fraction: 1 },
    { fraction: undefined },
  ]);
});

test("a failure carries the server's words, one line of a traceback; memory has its own class", async () => {
  const trace =
    'Traceback (most recent call last):\n  File "/srv/x.py", line 1\nValueError: bad key';
  for (const [error, code, words] of [
    [trace, "BACKEND_FAILED", "ValueError: bad key"],
    ["CUDA out of memory. Tried to allocate", "OUT_OF_MEMORY", "CUDA out of memory"],
    [undefined, "BACKEND_FAILED", "its log may tell why"],
  ] as const) {
    const server = answering({
      ...working,
      "GET /songs/a%2Fb": () => Response.json({ status: "failed", error }),
    });
    const thrown = await failure(start(server.baseUrl).outcome);
    expect(thrown.code).toBe(code);
    expect(thrown.message).toContain(words);
    expect(thrown.message).not.toContain("/srv");
  }
});

test("a server that only says failed is asked for its log, and no request is repeated from there", async () => {
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json({ status: "failed" }),
    "GET /logs": () => {
      const lines = [
        '[Job] {"lyrics": "an error of love"}',
        "[AR] FATAL: CUDA error: out of memory",
      ];
      const body = new ReadableStream({
        // An event stream that goes on for ever.
        start: (controller) =>
          controller.enqueue(new TextEncoder().encode(lines.map((l) => `data: ${l}\n\n`).join(""))),
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  const error = await failure(
    start(server.baseUrl, { ...asynchronous, log: { path: "/logs" } }).outcome,
  );
  expect(error.code).toBe("OUT_OF_MEMORY");
  expect(error.message).not.toContain("love");
});

test("404 means that the server has forgotten the work; what is declared otherwise means that", async () => {
  const forgetful = answering(taking);
  expect((await failure(start(forgetful.baseUrl).outcome)).code).toBe("BACKEND_LOST");

  let asks = 0;
  const late = answering({
    ...working,
    "GET /songs/a%2Fb": () => (++asks < 3 ? notFound() : Response.json({ status: "done" })),
  });
  const status = { ...asynchronous.status, meanings: { 404: "not-ready" as const } };
  await start(late.baseUrl, { ...asynchronous, status }).outcome;
  expect(asks).toBe(3);
});

test("a busy server, a refused input and a missing file are what the description says", async () => {
  const submits = (status: number, meaning?: "busy" | "failed") => {
    const server = answering({ "POST /songs": () => Response.json({}, { status }) });
    const meanings = meaning === undefined ? {} : { [status]: meaning };
    const submit = { ...asynchronous.submit, meanings };
    return failure(start(server.baseUrl, { ...asynchronous, submit }).outcome);
  };
  expect((await submits(400)).code).toBe("BACKEND_REJECTED");
  expect((await submits(503)).code).toBe("BACKEND_BUSY");
  expect((await submits(409, "busy")).code).toBe("BACKEND_BUSY");
  expect((await submits(422, "failed")).code).toBe("BACKEND_FAILED");

  const { "GET /songs/a%2Fb/file": _file, ...fileless } = working;
  const silent = answering(fileless);
  const result = { ...asynchronous.result, meanings: { 404: "failed" as const } };
  const error = await failure(start(silent.baseUrl, { ...asynchronous, result }).outcome);
  expect(error.code).toBe("BACKEND_FAILED");
});

test("a server that tells only of its current work: idle, or another's work, ends ours", async () => {
  for (const answer of [{ status: "idle" }, { status: "processing", job_id: "other" }]) {
    const server = answering({
      ...taking,
      "GET /status": () => Response.json(answer),
      "GET /out/a%2Fb.wav": () => wav(),
    });
    const { outcome } = start(server.baseUrl, {
      ...asynchronous,
      status: {
        path: "/status",
        field: "$.status",
        running: ["processing"],
        done: ["idle"],
        owner: "$.job_id",
        intervalMs: 5,
      },
      result: { kind: "bytes", path: "/out/{{id}}.wav", meanings: { 404: "failed" } },
    });
    expect(await outcome).toMatchObject({ files: ["/artifacts/artifact-1"] });
  }
});

test("a word that nobody declared ends the job and stops the work", async () => {
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json({ status: "meditating" }),
    "POST /songs/a%2Fb/cancel": () => Response.json({}),
  });
  const error = await failure(start(server.baseUrl).outcome);
  expect([error.code, error.message]).toEqual([
    "BACKEND_MISMATCH",
    expect.stringContaining("meditating"),
  ]);
  expect(asked(server)).toContain("POST /songs/a%2Fb/cancel");
});

test("a result that is not ready is waited for, as long as is said", async () => {
  let asks = 0;
  const ready = answering({
    ...working,
    "GET /songs/a%2Fb/file": () => (++asks < 2 ? notFound() : wav()),
  });
  const result = { ...asynchronous.result, meanings: { 404: "not-ready" as const } };
  await start(ready.baseUrl, { ...asynchronous, result }).outcome;
  expect(asks).toBe(2);

  const never = answering({ ...working, "GET /songs/a%2Fb/file": notFound });
  const error = await failure(
    start(never.baseUrl, { ...asynchronous, result: { ...result, readyMs: 20 } }).outcome,
  );
  expect(error.code).toBe("BACKEND_BAD_OUTPUT");
});

test("without a status the result itself is asked for until it is there", async () => {
  let asks = 0;
  const server = answering({
    ...taking,
    "GET /songs/a%2Fb/file": () =>
      ++asks < 3 ? Response.json({ error: "not completed" }, { status: 400 }) : wav(),
  });
  const { status: _status, ...spec } = asynchronous;
  const result = { ...spec.result, readyMs: 1, meanings: { 400: "not-ready" as const } };
  await start(server.baseUrl, { ...spec, result }).outcome;
  expect(asks).toBe(3);
});

const BOUNDARY = "yue2-batch-boundary";
const multipart = (body: string) =>
  new Response(body, { headers: { "content-type": `multipart/mixed; boundary=${BOUNDARY}` } });
const part = (type: string, content: string) =>
  `--${BOUNDARY}\r\nContent-Type: ${type}\r\n\r\n${content}\r\n`;
const parts = {
  ...asynchronous,
  result: {
    kind: "multipart" as const,
    parts: "audio/",
    path: "/songs/{{id}}/file",
    facts: { seed: "$.seed" },
  },
};

test("the parts of a multipart result: every sound is a file, with the facts that stand before it", async () => {
  const trap = `ID3\r\n--${BOUNDARY.slice(0, -1)}\r\n\r\n--`;
  const body =
    part("application/json", '{"seed": 7, "lyrics": "la"}') +
    part("audio/mpeg", trap) +
    part("application/json", '{"seed": 8}') +
    part("AUDIO/MPEG; rate=1", "second") +
    part("text/plain", "ignored") +
    `--${BOUNDARY}--\r\n`;
  const server = answering({ ...working, "GET /songs/a%2Fb/file": () => multipart(body) });
  const { job, outcome } = start(server.baseUrl, parts);
  expect(await outcome).toEqual({
    seed: 7,
    files: ["/artifacts/artifact-1", "/artifacts/artifact-2"],
  });
  expect(job.artifacts.map(({ bytes }) => new TextDecoder().decode(bytes))).toEqual([
    trap,
    "second",
  ]);
  expect(job.artifacts.map(({ name, metadata }) => [name, metadata.seed])).toEqual([
    ["output.mp3", 7],
    ["output-2.mp3", 8],
  ]);
});

test("a multipart result is read in whatever pieces it comes", async () => {
  const body = `${part("application/json", '{"seed": 7}') + part("audio/wav", "RIFF")}--${BOUNDARY}--`;
  for (const size of [1, 3, 7]) {
    const pieces = new ReadableStream<Uint8Array>({
      async start(controller) {
        const bytes = new TextEncoder().encode(body);
        for (let from = 0; from < bytes.length; from += size) {
          controller.enqueue(bytes.slice(from, from + size));
          await Promise.resolve();
        }
        controller.close();
      },
    });
    const headers = { "content-type": `multipart/mixed; boundary="${BOUNDARY}"` };
    const server = answering({
      ...working,
      "GET /songs/a%2Fb/file": () => new Response(pieces, { headers }),
    });
    const { job, outcome } = start(server.baseUrl, parts);
    expect(await outcome).toMatchObject({ seed: 7 });
    expect(new TextDecoder().decode(job.artifacts[0]?.bytes)).toBe("RIFF");
  }
});

test("a multipart result that is cut, empty or none is BACKEND_BAD_OUTPUT", async () => {
  const audio = part("audio/wav", "RIFF of a song");
  for (const answer of [
    multipart(audio.slice(0, -6)),
    multipart(audio),
    multipart(`${part("application/json", "{}")}--${BOUNDARY}--`),
    multipart(`${part("audio/wav", "")}--${BOUNDARY}--`),
    multipart(""),
    wav(),
  ]) {
    const server = answering({ ...working, "GET /songs/a%2Fb/file": () => answer });
    const error = await failure(start(server.baseUrl, parts).outcome);
    expect(error.code).toBe("BACKEND_BAD_OUTPUT");
  }
});

test("of a file's address only the path is used, below the backend's url", async () => {
  const elsewhere = serve(() => wav("stolen"));
  for (const url of [
    "http://169.254.169.254/out/song.wav",
    `${elsewhere.baseUrl}/out/song.wav`,
    `//${elsewhere.baseUrl.slice(7)}/out/song.wav`,
    "/out/song.wav",
    "out/song.wav",
    "/../../out/song.wav",
    "\\out\\song.wav",
  ]) {
    const server = answering({
      ...taking,
      "GET /songs/a%2Fb": () => Response.json({ status: "done", files: [{ url }] }),
      "GET /out/song.wav": () => wav("ours"),
    });
    const result = { kind: "json-url", field: "$.files[*].url" } as const;
    const { job, outcome } = start(server.baseUrl, { ...asynchronous, result });
    await outcome;
    expect(new TextDecoder().decode(job.artifacts[0]?.bytes)).toBe("ours");
  }
  expect(elsewhere.seen).toEqual([]);
});

test("an address that is no path, or has no file, fails", async () => {
  for (const [url, code] of [
    ["file:///etc/passwd", "BACKEND_BAD_OUTPUT"],
    ["C:\\songs\\a.wav", "BACKEND_BAD_OUTPUT"],
    ["/gone.wav", "BACKEND_FAILED"],
    ["", "BACKEND_BAD_OUTPUT"],
    [null, "BACKEND_BAD_OUTPUT"],
  ] as const) {
    const server = answering({
      ...taking,
      "GET /songs/a%2Fb": () => Response.json({ status: "done", url }),
    });
    const result = { kind: "json-url", field: "$.url" } as const;
    const error = await failure(start(server.baseUrl, { ...asynchronous, result }).outcome);
    expect(error.code).toBe(code);
  }
});

test("an address that came with the submission is used after a restart, too", async () => {
  const server = answering({
    ...working,
    "POST /songs": () => Response.json({ id: "a/b", url: "/out/7.wav" }),
    "GET /out/7.wav": () => wav("seven"),
  });
  const result = { kind: "json-url", field: "$.url", of: "submit" } as const;
  const first = start(server.baseUrl, { ...asynchronous, result });
  await first.outcome;
  const again = createTestJob<Input>({ prompt: "x" }, { attempt: 2, steps: first.job.steps });
  await start(server.baseUrl, { ...asynchronous, result }, again).outcome;
  expect(new TextDecoder().decode(again.artifacts[0]?.bytes)).toBe("seven");
});

test("base64 in the answer, with and without a data URL; what is none fails", async () => {
  const of = async (audio: unknown) => {
    const server = answering({
      ...taking,
      "GET /songs/a%2Fb": () => Response.json({ status: "done", audio }),
    });
    const result = { kind: "base64", field: "$.audio", mediaType: "audio/wav" } as const;
    const started = start(server.baseUrl, { ...asynchronous, result });
    await started.outcome;
    return started.job.artifacts.map(({ name, bytes }) => [name, new TextDecoder().decode(bytes)]);
  };
  expect(await of(btoa("RIFF"))).toEqual([["output.wav", "RIFF"]]);
  expect(await of([`data:audio/mpeg;base64,${btoa("ID3")}`])).toEqual([["output.mp3", "ID3"]]);
  expect((await failure(of("no sound, sorry!"))).code).toBe("BACKEND_BAD_OUTPUT");
});

const synchronous = {
  title: "Music Box",
  submit: { path: "/v1/audio/generate", body: { input: "{{prompt}}" } },
  result: { kind: "bytes", name: "sound" },
  health: { path: "/health" },
} satisfies RestJob<unknown, Input>;

test("a synchronous server's answer is the result", async () => {
  const server = answering({ "POST /v1/audio/generate": () => wav() });
  const { job, outcome } = start(server.baseUrl, synchronous);
  expect(await outcome).toEqual({ files: ["/artifacts/artifact-1"] });
  expect(job.artifacts[0]?.name).toBe("sound.wav");
});

test("JSON or a page in place of a file fails with the server's words", async () => {
  for (const [answer, code, words] of [
    [Response.json({ error: "CUDA out of memory" }), "OUT_OF_MEMORY", "CUDA"],
    [Response.json({ detail: "no model" }), "BACKEND_FAILED", "no model"],
    [Response.json({}), "BACKEND_BAD_OUTPUT", "application/json"],
    [
      new Response("<html>", { headers: { "content-type": "text/html" } }),
      "BACKEND_BAD_OUTPUT",
      "html",
    ],
    [wav(""), "BACKEND_BAD_OUTPUT", "empty"],
  ] as const) {
    const server = answering({ "POST /v1/audio/generate": () => answer });
    const error = await failure(start(server.baseUrl, synchronous).outcome);
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(words)]);
  }
});

test("a cancelled synchronous run settles when the server is idle, or at once where closing stops it", async () => {
  const open = Promise.withResolvers<Response>();
  const drained = answering({ "POST /v1/audio/generate": () => open.promise });
  const { job, outcome } = start(drained.baseUrl, synchronous);
  await until(() => drained.seen.length > 0, 5_000, "no request came");
  await job.cancel();
  let settled = false;
  const end = reasonOf(outcome).finally(() => {
    settled = true;
  });
  // Long enough for the server to answer something else.
  await drained.http.get("/anything").catch(() => {});
  expect(settled).toBe(false);
  open.resolve(wav());
  expect(await end).toBe("the job was cancelled");
  expect(job.artifacts).toEqual([]);

  const never = Promise.withResolvers<Response>();
  const closed = answering({ "POST /v1/audio/generate": () => never.promise });
  const submit = { ...synchronous.submit, stopsOnClose: true };
  const second = start(closed.baseUrl, { ...synchronous, submit });
  await until(() => closed.seen.length > 0, 5_000, "no request came");
  await second.job.cancel();
  expect(await reasonOf(second.outcome)).toBe("the job was cancelled");
  never.resolve(wav());
});

test("a cancel asks the server to stop, and settles when it says that it has", async () => {
  let cancels = 0;
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json({ status: cancels < 2 ? "running" : "cancelled" }),
    "POST /songs/a%2Fb/cancel": () => Response.json({ n: ++cancels }),
  });
  const { job, outcome } = start(server.baseUrl);
  await until(() => job.progressed.length > 0, 5_000, "no progress came");
  await job.cancel();
  expect(await reasonOf(outcome)).toBe("the job was cancelled");
  expect(cancels).toBeGreaterThanOrEqual(2);
});

test("a cancel during the submission stops the work that the server took all the same", async () => {
  const arrived = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  let cancelled = false;
  const server = answering({
    "POST /songs": () => {
      arrived.resolve();
      return answer.promise;
    },
    "GET /songs/7": () => Response.json({ status: cancelled ? "cancelled" : "running" }),
    "POST /songs/7/cancel": () => {
      cancelled = true;
      return Response.json({});
    },
  });
  const { job, outcome } = start(server.baseUrl);
  await arrived.promise;
  await job.cancel();
  answer.resolve(Response.json({ id: 7 }));
  expect(await reasonOf(outcome)).toBe("the job was cancelled");
  expect(cancelled).toBe(true);
});

test("without a way to stop it a cancelled run waits for the end, and then removes the files", async () => {
  let asks = 0;
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json({ status: ++asks < 4 ? "running" : "done" }),
    "DELETE /songs/a%2Fb": () => Response.json({}),
  });
  const { cancel: _cancel, ...spec } = asynchronous;
  const remove = { method: "DELETE", path: "/songs/{{id}}" } as const;
  const { job, outcome } = start(server.baseUrl, { ...spec, remove });
  await until(() => asks > 0, 5_000, "no question came");
  await job.cancel();
  await outcome.catch(() => {});
  expect(asks).toBeGreaterThanOrEqual(4);
  expect(asked(server).at(-1)).toBe("DELETE /songs/a%2Fb");
  expect(job.artifacts).toEqual([]);
});

test("a gateway that stops leaves the work alone", async () => {
  const server = answering({
    ...working,
    "GET /songs/a%2Fb": () => Response.json({ status: "running" }),
  });
  const abort = new AbortController();
  const job = { ...createTestJob<Input>({ prompt: "x" }), signal: abort.signal } as TestJob<Input>;
  const { outcome } = start(server.baseUrl, asynchronous, job);
  await until(() => asked(server).includes("GET /songs/a%2Fb"), 5_000, "no question came");
  abort.abort(Object.assign(new Error("stopping"), { code: "SHUTTING_DOWN" }));
  expect(await reasonOf(outcome)).toBe("stopping");
  expect(asked(server)).not.toContain("POST /songs/a%2Fb/cancel");
});

test("an answer without an id is BACKEND_BAD_OUTPUT, or the server's own words", async () => {
  for (const [answer, code] of [
    [Response.json({}), "BACKEND_BAD_OUTPUT"],
    [Response.json({ id: { $ne: 1 } }), "BACKEND_BAD_OUTPUT"],
    [Response.json({ id: ".." }), "BACKEND_BAD_OUTPUT"],
    [Response.json({ id: "" }), "BACKEND_BAD_OUTPUT"],
    [Response.json({ error: "no such model" }), "BACKEND_FAILED"],
    [
      new Response("<!doctype html>", { headers: { "content-type": "text/html" } }),
      "BACKEND_BAD_OUTPUT",
    ],
  ] as const) {
    const server = answering({ "POST /songs": () => answer });
    expect((await failure(start(server.baseUrl).outcome)).code).toBe(code);
  }
});

test("health wants the declared words, and tells version and whether it works", async () => {
  const of = (answer: Response, more = {}) => {
    const server = answering({ "GET /health": () => answer });
    const health = { ...asynchronous.health, ...more };
    const transport = restJob({ ...asynchronous, health });
    const ctx = createTestContext(plugin, server.baseUrl);
    return transport.health(ctx as never, AbortSignal.timeout(5_000));
  };
  expect(await of(Response.json({ status: "ok" }))).toEqual({ status: "ready" });
  const busy = { version: "$.v", busy: { field: "$.now", words: ["working"] } };
  expect(await of(Response.json({ status: "ok", v: "1.2", now: "working" }), busy)).toEqual({
    status: "ready",
    version: "1.2",
    busy: true,
  });
  expect(await of(new Response("OK"), { expect: { $: ["OK"] } })).toEqual({ status: "ready" });
  for (const answer of [
    Response.json({ status: "starting" }),
    new Response("<html>", { headers: { "content-type": "text/html" } }),
    notFound(),
    new Response("hello"),
  ]) {
    expect((await failure(of(answer))).code).toBe("BACKEND_MISMATCH");
  }
});
