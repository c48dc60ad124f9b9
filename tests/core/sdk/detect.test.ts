/** What answers at a bare URL, and the choice of a server by it. */
import { afterEach, expect, test } from "bun:test";
import { createServer } from "node:http";
import {
  BackendError,
  type Context,
  evidenceAt,
  type Health,
  oneOf,
  type Transport,
} from "switchyard/sdk";
import { createTestJob } from "switchyard/sdk/testing";
import { createHttpClient } from "../../../core/sdk/http-client.ts";
import { failure, serve, stopServers } from "./server.ts";

afterEach(stopServers);

const nothing = { pages: [], sockets: [] };
const soon = () => AbortSignal.timeout(10_000);

type Pages = Record<string, unknown>;

/** A server with JSON at some paths; 404 with a page elsewhere. */
function pages(answers: Pages) {
  const server = serve(async (request) => {
    const { pathname } = new URL(request.url);
    const answer = answers[pathname];
    if (answer instanceof Response) return answer.clone();
    if (answer !== undefined) return Response.json(answer);
    return new Response("<html>", { status: 404, headers: { "content-type": "text/html" } });
  });
  const asked = () => server.seen.map(({ url }) => new URL(url).pathname);
  return { ...server, asked };
}

const parameters = (...names: string[]) => ({
  parameters: names.map((parameter_name) => ({ parameter_name, component: "Textbox" })),
});
const gradio = (version: string, prefix?: string): Pages => ({
  "/config": {
    version,
    ...(prefix === undefined ? {} : { api_prefix: prefix }),
    title: "YuE",
    dependencies: [
      { id: 0, api_name: "generate_song" },
      { id: 1, api_name: false },
    ],
  },
  [`${prefix ?? ""}/info`]: {
    named_endpoints: { "/generate_song": parameters("genres_input", "lyrics_input") },
  },
});

test("a Gradio app shows its version, title, endpoints and parameters, whatever its version", async () => {
  for (const [version, prefix] of [["4.44.1"], ["5.49.1", "/gradio_api"]] as const) {
    const server = pages(gradio(version, prefix));
    const evidence = await evidenceAt(server.http, { pages: ["/props"], sockets: [] }, soon());
    expect(evidence.gradio).toEqual({
      version,
      title: "YuE",
      endpoints: { "/generate_song": ["genres_input", "lyrics_input"] },
    });
    expect(evidence.summary).toBe(`Gradio ${version} "YuE" with /generate_song`);
    expect(server.asked()).toEqual(["/config", `${prefix ?? ""}/info`]);
  }
});

test("a Gradio app that hides its parameters still shows its endpoints, and leads nowhere else", async () => {
  const { "/gradio_api/info": _info, ...rest } = gradio("5.0.0", "/gradio_api");
  const config = { ...(rest["/config"] as Pages), api_prefix: "/../admin?x=" };
  const server = pages({ "/config": config });
  const evidence = await evidenceAt(server.http, nothing, soon());
  expect(evidence.gradio?.endpoints).toEqual({ "/generate_song": [] });
  expect(server.asked()).toEqual(["/config", "/info"]);
});

test("pages, then OpenAPI: what a plain server shows", async () => {
  const openapi = {
    openapi: "3.1.0",
    info: { title: "DiffRhythm", version: "1" },
    paths: { "/api/generate": {}, "/api/tasks/{task_id}": {} },
  };
  const server = pages({ "/props": { version: "7" }, "/openapi.json": openapi });
  const evidence = await evidenceAt(server.http, { pages: ["/props", "/no"], sockets: [] }, soon());
  expect(evidence.pages).toEqual({ "/props": { version: "7" } });
  expect(evidence.openapi).toEqual({
    title: "DiffRhythm",
    version: "1",
    paths: ["/api/generate", "/api/tasks/{task_id}"],
  });
  expect(evidence.summary).toBe(
    'JSON at /props, the API "DiffRhythm" with /api/generate, /api/tasks/{task_id}',
  );
});

test("the first message of a WebSocket is evidence; one that says nothing is none", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, host) =>
      /^\/ws/.test(new URL(request.url).pathname) && host.upgrade(request)
        ? undefined
        : new Response("<html>", { headers: { "content-type": "text/html" } }),
    websocket: {
      open: (socket) => void socket.send(JSON.stringify({ Info: { model: "small" } })),
      message: () => {},
    },
  });
  try {
    const http = createHttpClient({ baseUrl: `http://127.0.0.1:${server.port}`, title: "Box" });
    const evidence = await evidenceAt(http, { pages: [], sockets: ["/none", "/ws"] }, soon());
    expect(evidence.sockets).toEqual({ "/ws": { Info: { model: "small" } } });
    expect(evidence.summary).toBe("a WebSocket at /ws");
  } finally {
    await server.stop(true);
  }
});

test("pages of other programs are no evidence: HTML for all, errors, broken and endless JSON", async () => {
  const json = { headers: { "content-type": "application/json" } };
  const server = pages({
    "/config": new Response("{", json),
    "/props": new Response("boom", { status: 500 }),
    "/openapi.json": { openapi: 3 },
  });
  const evidence = await evidenceAt(server.http, { pages: ["/props"], sockets: [] }, soon());
  expect(evidence).toEqual({
    pages: {},
    sockets: {},
    summary: "a server that shows nothing known",
  });

  const huge = serve(() => new Response("x".repeat(17 * 1024 * 1024), json));
  expect((await evidenceAt(huge.http, nothing, soon())).summary).toContain("nothing known");
});

test("a server that is not there, wants a key or is silent ends the search at once", async () => {
  const gone = createHttpClient({ baseUrl: "http://127.0.0.1:9", title: "Box" });
  expect((await failure(evidenceAt(gone, nothing, soon()))).code).toBe("BACKEND_UNREACHABLE");
  const locked = serve(() => new Response("", { status: 401 }));
  expect((await failure(evidenceAt(locked.http, nothing, soon()))).code).toBe(
    "BACKEND_UNAUTHORIZED",
  );
  expect(locked.seen).toHaveLength(1);

  const silent = createServer(() => {});
  await new Promise<void>((ready) => silent.listen(0, "127.0.0.1", ready));
  const { port } = silent.address() as { port: number };
  const http = createHttpClient({ baseUrl: `http://127.0.0.1:${port}`, title: "Box" });
  const signal = AbortSignal.timeout(100);
  const error = await evidenceAt(http, nothing, signal).catch((thrown) => thrown);
  expect(error).toBe(signal.reason);
  silent.closeAllConnections();
  await new Promise((closed) => silent.close(closed));
});

interface Settings {
  readonly variant?: string;
}

function contextOf(baseUrl: string, config: Settings = {}): Context<Settings> {
  const http = createHttpClient({ baseUrl, title: "Box" });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const call = () => Promise.reject(new Error("no"));
  return { backend: "box", config, http, log, call, folder: "", owns: () => () => {} };
}

function transport(name: string, more: Partial<Transport<Settings>> = {}): Transport<Settings> {
  return {
    health: async () => ({ status: "ready", version: "1.0" }),
    run: async () => name,
    ...more,
  };
}

const page = (path: string) => (evidence: { pages: Record<string, unknown> }) =>
  Object.hasOwn(evidence.pages, path) ? undefined : `a page ${path}`;

function boxes(more: Partial<Transport<Settings>> = {}) {
  return oneOf<Settings, unknown>({
    title: "Box",
    chosen: ({ variant }) => variant,
    variants: [
      { name: "command", transport: transport("command") },
      { name: "red", transport: transport("red", more), pages: ["/red"], missing: page("/red") },
      { name: "blue", transport: transport("blue"), pages: ["/blue"], missing: page("/blue") },
    ],
  });
}

test("the first variant that fits the evidence is taken, and health names it", async () => {
  const server = pages({ "/blue": {}, "/config": [] });
  const ctx = contextOf(server.baseUrl);
  const box = boxes();
  expect(await box.health(ctx, soon())).toEqual({ status: "ready", version: "blue 1.0" });
  expect(await box.run(createTestJob({}), ctx)).toBe("blue");
  expect(server.asked().filter((path) => path === "/config")).toHaveLength(1);
});

test("a variant that the settings name is taken without a look; a wrong name gets the nearest", async () => {
  const server = pages({ "/blue": {} });
  const box = boxes();
  for (const variant of ["command", "red"]) {
    expect(await box.run(createTestJob({}), contextOf(server.baseUrl, { variant }))).toBe(variant);
  }
  expect(server.seen).toEqual([]);
  const wrong = contextOf(server.baseUrl, { variant: "blu" });
  expect((await failure(box.run(createTestJob({}), wrong))).message).toContain(
    "did you mean blue?",
  );
});

test("what fits none is BACKEND_MISMATCH with what was found and what each lacks", async () => {
  const server = pages(gradio("4.44.1"));
  const error = await failure(boxes().health(contextOf(server.baseUrl), soon()));
  expect(error.code).toBe("BACKEND_MISMATCH");
  expect(error.message).toContain('Gradio 4.44.1 "YuE" with /generate_song');
  expect(error.message).toContain("It lacks, for red: a page /red; for blue: a page /blue");
});

test("another server at the same address is found out at the next look", async () => {
  const mismatch = async () => {
    throw new BackendError("BACKEND_MISMATCH", "that is not red");
  };
  const degraded = async () => ({ status: "degraded", reason: "it lacks /generate" }) as const;
  for (const later of [mismatch, degraded]) {
    const answers: Pages = { "/red": {} };
    let health: () => Promise<Health> = async () => ({ status: "ready" });
    const ctx = contextOf(pages(answers).baseUrl);
    const box = boxes({ health: () => health() });
    expect(await box.health(ctx, soon())).toEqual({ status: "ready", version: "red" });
    health = later;
    delete answers["/red"];
    answers["/blue"] = {};
    expect(await box.health(ctx, soon())).toEqual({ status: "ready", version: "blue 1.0" });
    expect(await box.run(createTestJob({}), ctx)).toBe("blue");
  }
});

test("a server that is still the same one keeps its own words", async () => {
  const ctx = contextOf(pages({ "/red": {} }).baseUrl);
  let health: Health = { status: "ready" };
  const box = boxes({ health: async () => health });
  await box.health(ctx, soon());
  health = { status: "degraded", reason: "no model" };
  expect(await box.health(ctx, soon())).toEqual({ status: "degraded", reason: "red: no model" });
});

test("two backends of one plugin have their own variants", async () => {
  const box = boxes();
  const red = contextOf(pages({ "/red": {} }).baseUrl);
  const blue = contextOf(pages({ "/blue": {} }).baseUrl);
  expect(await box.run(createTestJob({}), red)).toBe("red");
  expect(await box.run(createTestJob({}), blue)).toBe("blue");
});

test("a variant takes up only the steps that it began", async () => {
  const box = boxes({ run: (job) => job.step("submit", async () => "red's id") });
  const ctx = contextOf(pages({ "/red": {} }).baseUrl);
  const job = createTestJob({});
  expect(await box.run(job, ctx)).toBe("red's id");
  expect([...job.steps.keys()]).toEqual(["red: submit"]);
});

test("the options are those of the variant that answers", async () => {
  const box = boxes({ options: async () => ({ cot: { type: "string" } }) as never });
  expect(await box.options?.(contextOf(pages({ "/red": {} }).baseUrl), soon())).toEqual({
    cot: { type: "string" },
  } as never);
  expect(await box.options?.(contextOf(pages({ "/blue": {} }).baseUrl), soon())).toEqual({});
});
