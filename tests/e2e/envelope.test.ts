/** Every answer has one shape, and whoever asks wrongly is told what was wrong. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startFakeComfyUI } from "../fakes/comfyui.ts";
import { type Answer, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { requestText, sendRaw } from "./raw.ts";
import { PUPPET, UNKNOWN_JOB } from "./table.ts";

const PAGE = "https://app.example.org";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const MIB = 1024 * 1024;

describe(`the envelope on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let comfyui: Awaited<ReturnType<typeof startFakeComfyUI>>;

  beforeAll(async () => {
    comfyui = await startFakeComfyUI();
    gateway = await startGateway({
      config: `
http: { allowed_origins: ["${PAGE}"] }
backends:
  espeak: { use: espeak }
  puppet: { use: ${PUPPET} }
  comfyui: { use: comfyui, url: "${comfyui.url}" }
`,
    });
  });
  afterAll(async () => {
    await gateway.remove();
    await comfyui.stop();
  });

  function expectFailure(answer: Answer, status: number, code: string): void {
    expect([answer.status, answer.error?.code]).toEqual([status, code]);
    expect(Object.keys(answer.json)).toEqual(["success", "data", "error", "timestamp"]);
    expect(answer.json).toMatchObject({ success: false, data: null });
    expect(answer.json.timestamp).toMatch(TIME);
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    const { message, details } = answer.error;
    expect(message.length).toBeGreaterThan(5);
    expect(details.request_id).toBe(answer.headers.get("x-request-id"));
    expect(typeof details.retryable).toBe("boolean");
    expect(details.hint.length).toBeGreaterThan(5);
  }

  test("a success has data, no error and a time", async () => {
    const { json, status, headers } = await gateway.call("GET", "/jobs");
    expect(status).toBe(200);
    expect(Object.keys(json)).toEqual(["success", "data", "error", "timestamp"]);
    expect(json).toMatchObject({ success: true, error: null });
    expect(json.timestamp).toMatch(TIME);
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("404: no such route, and no such id", async () => {
    expectFailure(await gateway.call("GET", "/nothing"), 404, "NOT_FOUND");
    expectFailure(await gateway.call("POST", "/", {}), 404, "NOT_FOUND");
    expectFailure(await gateway.call("GET", "/jobs/not-an-id"), 404, "NOT_FOUND");
    expectFailure(await gateway.call("GET", `/jobs/${UNKNOWN_JOB}`), 404, "NOT_FOUND");
    expectFailure(await gateway.call("GET", `/jobs/${UNKNOWN_JOB}/events`), 404, "NOT_FOUND");
  });

  test("405 names the methods that there are", async () => {
    const answers: [string, string, string][] = [
      ["GET", "/tts", "POST"],
      ["PUT", "/jobs", "GET, HEAD"],
      ["POST", `/jobs/${UNKNOWN_JOB}`, "GET, HEAD, DELETE"],
      ["PATCH", "/auth/keys", "POST, GET, HEAD"],
      ["DELETE", "/health", "GET, HEAD"],
      ["OPTIONS", "/jobs", "GET, HEAD"],
    ];
    for (const [method, path, allow] of answers) {
      const answer = await gateway.call(method, path);
      expectFailure(answer, 405, "METHOD_NOT_ALLOWED");
      expect([method, path, answer.headers.get("allow")]).toEqual([method, path, allow]);
    }
  });

  test("413 for 10 MB, whether the length is told or not", async () => {
    const body = JSON.stringify({ text: "x".repeat(10 * MIB) });
    expectFailure(await gateway.call("POST", "/tts", body), 413, "PAYLOAD_TOO_LARGE");
    let sent = 0;
    const chunk = new TextEncoder().encode("x".repeat(64 * 1024));
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += chunk.length;
        if (sent > 10 * MIB) controller.close();
        else controller.enqueue(chunk);
      },
    });
    const response = await fetch(`${gateway.url}/tts`, {
      method: "POST",
      headers: { "x-api-key": gateway.key, "content-type": "application/json" },
      body: stream,
    });
    expect(response.status).toBe(413);
    expect(((await response.json()) as any).error.code).toBe("PAYLOAD_TOO_LARGE");
    expect((await gateway.call("GET", "/health")).status).toBe(200);
  });

  test("a body of exactly the limit is read, one byte more is not", async () => {
    const body = (bytes: number) => {
      const frame = JSON.stringify({ text: "" }).length;
      return JSON.stringify({ text: "x".repeat(bytes - frame) });
    };
    expectFailure(await gateway.call("POST", "/tts", body(MIB)), 422, "VALIDATION_FAILED");
    expectFailure(await gateway.call("POST", "/tts", body(MIB + 1)), 413, "PAYLOAD_TOO_LARGE");
  });

  test("415 for forms, for other types and for compressed bodies", async () => {
    const types = [
      "application/x-www-form-urlencoded",
      "text/plain",
      "multipart/form-data",
      "",
      "x",
    ];
    for (const type of types) {
      const answer = await gateway.call("POST", "/tts", '{"text":"x"}', {
        headers: { "content-type": type },
      });
      expectFailure(answer, 415, "UNSUPPORTED_MEDIA_TYPE");
    }
    const gzip = Bun.gzipSync(Buffer.from('{"text":"x"}'));
    const response = await fetch(`${gateway.url}/tts`, {
      method: "POST",
      headers: {
        "x-api-key": gateway.key,
        "content-type": "application/json",
        "content-encoding": "gzip",
      },
      body: gzip,
    });
    expect(response.status).toBe(415);
    expect(((await response.json()) as any).error.code).toBe("UNSUPPORTED_MEDIA_TYPE");
  });

  test("400 for JSON that is none, and for no body at all", async () => {
    for (const body of ['{"text":', "{'text':'x'}", "undefined", '{"text":"x"}}', "\u0000"]) {
      expectFailure(await gateway.call("POST", "/tts", body), 400, "BAD_REQUEST");
    }
    const empty = await gateway.call("POST", "/tts", "");
    expectFailure(empty, 400, "BAD_REQUEST");
    expect(empty.error.message).toContain("empty");
  });

  test("422 lists every wrong field at once", async () => {
    const wrong = { prompt: 1, width: "wide", steps: 0, cfg: 99, priority: 10, tag: "" };
    const answer = await gateway.call("POST", "/generate/image", wrong);
    expectFailure(answer, 422, "VALIDATION_FAILED");
    const fields = answer.error.details.errors.map(({ field }: any) => field);
    expect(fields.sort()).toEqual(["/cfg", "/priority", "/prompt", "/steps", "/tag", "/width"]);
    for (const body of ["null", "[]", "1", '"x"', "true"]) {
      expectFailure(await gateway.call("POST", "/tts", body), 422, "VALIDATION_FAILED");
    }
    const query = await gateway.call("GET", "/jobs?limit=0&status=odd&after=x&since=yesterday");
    expectFailure(query, 422, "VALIDATION_FAILED");
    const names = query.error.details.errors.map(({ field }: any) => field);
    expect(names.sort()).toEqual(["/after", "/limit", "/since", "/status"]);
  });

  test("422 for an unknown backend, with the nearest name", async () => {
    const answer = await gateway.call("POST", "/tts", { text: "x", backend: "espaek" });
    expectFailure(answer, 422, "VALIDATION_FAILED");
    expect(answer.error.message).toContain('did you mean "espeak"?');
    const other = await gateway.call("POST", "/tts", { text: "x", backend: "puppet" });
    expectFailure(other, 422, "VALIDATION_FAILED");
  });

  test("422 for an unknown model, with the nearest name", async () => {
    const model = "sd_xl_base_1.safetensors";
    const answer = await gateway.call("POST", "/generate/image", { prompt: "a", model });
    expectFailure(answer, 422, "VALIDATION_FAILED");
    expect(answer.error.message).toContain('has no model "sd_xl_base_1.safetensors"');
    expect(answer.error.message).toContain("did you mean");
  });

  test("422 for a workflow in ComfyUI's UI format, with what to do", async () => {
    const graph = {
      last_node_id: 2,
      nodes: [{ id: 1, type: "KSampler", pos: [0, 0], widgets_values: [1] }],
      links: [[1, 1, 0, 2, 0, "MODEL"]],
      version: 0.4,
    };
    const answer = await gateway.call("POST", "/generate/image", { prompt: "a", graph });
    expectFailure(answer, 422, "VALIDATION_FAILED");
    expect(answer.error.message).toMatch(/API/);
    expect(comfyui.calls).not.toContain("POST /prompt");
  });

  test("a raw graph needs generate:raw, whoever asks", async () => {
    const wishes = { name: "client", preset: "client" };
    const { key } = (await gateway.call("POST", "/auth/keys", wishes)).data;
    const request = { prompt: "a", graph: { "1": { class_type: "X", inputs: {} } } };
    const answer = await gateway.call("POST", "/generate/image", request, { key });
    expectFailure(answer, 403, "FORBIDDEN_SCOPE");
  });

  test("a refusal is in the envelope too: host, key, scope", async () => {
    const headers = ["Host: evil.example", `X-API-Key: ${gateway.key}`];
    const raw = await sendRaw(gateway.url, requestText("GET", "/jobs", headers));
    expect([raw.status, JSON.parse(raw.body).error.code]).toEqual([403, "HOST_NOT_ALLOWED"]);
    const none = await gateway.call("GET", "/jobs", undefined, { key: null });
    expectFailure(none, 401, "UNAUTHORIZED");
    expect(none.headers.get("www-authenticate")).toContain("Bearer");
  });

  test("a plugin's own failure is 500 without a word of what failed", async () => {
    const answer = await gateway.call("GET", "/puppet/break");
    expectFailure(answer, 500, "INTERNAL");
    expect(answer.text).not.toMatch(/SELECT|passwd|plugin\.ts|\bat /);
    expect(gateway.output()).toContain("SELECT * FROM secrets");
  });

  test("X-Request-Id is taken over when it is harmless, else made", async () => {
    const send = async (id: string) => {
      const headers = { "x-request-id": id };
      return (await gateway.call("GET", "/health", undefined, { headers })).headers.get(
        "x-request-id",
      );
    };
    expect(await send("my-trace.1_a")).toBe("my-trace.1_a");
    for (const odd of ["a b", "<script>", "x".repeat(65), "é"]) {
      expect(await send(odd)).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test("HEAD has the headers of GET and no body, on JSON routes too", async () => {
    for (const path of ["/jobs", "/health", "/swagger", `/jobs/${UNKNOWN_JOB}`]) {
      const get = await gateway.call("GET", path);
      const head = await gateway.call("HEAD", path);
      expect([path, head.status, head.text]).toEqual([path, get.status, ""]);
      expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
      expect(head.headers.get("content-length")).toBe(get.headers.get("content-length"));
      expect(Number(head.headers.get("content-length"))).toBeGreaterThan(10);
    }
    const missing = await gateway.call("HEAD", "/nothing");
    expect([missing.status, missing.text]).toEqual([404, ""]);
  });

  test("a listed page may call from a browser, any other gets no CORS header", async () => {
    const preflight = async (origin: string) =>
      gateway.call("OPTIONS", "/tts", undefined, {
        key: null,
        headers: { origin, "access-control-request-method": "POST" },
      });
    const allowed = await preflight(PAGE);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe(PAGE);
    expect(allowed.headers.get("access-control-allow-methods")).toContain("POST");
    expect(allowed.headers.get("access-control-allow-headers")).toContain("x-api-key");
    const answer = await gateway.call("GET", "/jobs", undefined, { headers: { origin: PAGE } });
    expect(answer.headers.get("access-control-allow-origin")).toBe(PAGE);
    expect(answer.headers.get("vary")).toBe("origin");
    for (const origin of ["https://evil.example", "null", `${PAGE}.evil.example`]) {
      const refused = await preflight(origin);
      expect([origin, refused.status]).toEqual([origin, 405]);
      const names = [...refused.headers.keys()];
      expect(names.filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
    for (const { headers } of [allowed, answer]) {
      expect(headers.get("access-control-allow-credentials")).toBeNull();
    }
  });
});
