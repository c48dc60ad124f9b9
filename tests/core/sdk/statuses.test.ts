/** What each status of a backend means, and what of its words is repeated. */
import { afterEach, describe, expect, test } from "bun:test";
import { failure, serve, stopServers } from "./server.ts";

afterEach(stopServers);

describe("a status", () => {
  const answering = (status: number, body: unknown, headers: Record<string, string> = {}) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return serve(() => new Response(text, { status, headers })).http;
  };

  for (const [status, code] of [
    [400, "BACKEND_REJECTED"],
    [404, "BACKEND_REJECTED"],
    [422, "BACKEND_REJECTED"],
    [401, "BACKEND_UNAUTHORIZED"],
    [403, "BACKEND_UNAUTHORIZED"],
    [429, "BACKEND_BUSY"],
    [503, "BACKEND_BUSY"],
    [500, "BACKEND_FAILED"],
    [502, "BACKEND_FAILED"],
    [504, "BACKEND_FAILED"],
    [301, "BACKEND_MISMATCH"],
    [304, "BACKEND_MISMATCH"],
    [308, "BACKEND_MISMATCH"],
  ] as const) {
    test(`${status} is ${code}, for JSON and for a raw body`, async () => {
      const http = answering(status, status === 304 ? "" : { error: "words" });
      const error = await failure(http.post("/prompt", {}));
      expect(error.code).toBe(code);
      expect(error.message).toContain("ComfyUI");
      expect(error.message).toContain("POST /prompt");
      expect(error.message).not.toContain("\n");
      expect((await failure(http.fetch("/prompt"))).code).toBe(code);
    });
  }

  for (const status of [400, 500, 503]) {
    test(`${status} with CUDA's words is OUT_OF_MEMORY`, async () => {
      for (const words of ["CUDA out of memory. Tried", "torch.OutOfMemoryError: HIP"]) {
        const error = await failure(answering(status, { error: words }).get("/a"));
        expect(error.code).toBe("OUT_OF_MEMORY");
      }
    });
  }

  for (const [place, body] of [
    ["error", { error: "no such model" }],
    ["error.message", { error: { type: "x", message: "no such model" } }],
    ["detail", { detail: "no such model" }],
    ["detail as a list", { detail: [{ loc: ["body"], msg: "no such model" }] }],
    ["message", { message: "no such model" }],
    ["plain text", "no such\n model"],
    ["a traceback", 'Traceback (most recent call last):\n File "/srv/x.py"\nV: no such model'],
  ] as const) {
    test(`repeats the server's own message from ${place}`, async () => {
      const error = await failure(answering(400, body).get("/a"));
      expect(error.message).toContain("no such model");
      expect(error.message).not.toContain("/srv");
    });
  }

  test("repeats at most 500 characters, and no HTML", async () => {
    const long = await failure(answering(400, "word ".repeat(1_000)).get("/a"));
    expect(long.message.length).toBeLessThan(560);
    const page = await failure(answering(502, "<html><h1>Bad gateway").get("/a"));
    expect(page.message).toContain("an HTML page");
    expect(page.message).not.toContain("<");
  });

  test("4xx keeps a small JSON answer in details; 5xx and 401 do not", async () => {
    const answer = { error: "invalid", node_errors: { "3": ["x"] } };
    const refused = await failure(answering(400, answer).post("/prompt", {}));
    expect(refused.details).toEqual({ status: 400, answer });
    const huge = await failure(answering(400, { a: "x".repeat(80_000) }).get("/a"));
    expect(huge.details).toEqual({ status: 400 });
    expect((await failure(answering(500, answer).get("/a"))).details).toBeUndefined();
    expect((await failure(answering(401, answer).get("/a"))).details).toBeUndefined();
  });

  test("503 passes on how long to wait, in seconds or until a date", async () => {
    const wait = async (value: string): Promise<number | undefined> =>
      (await failure(answering(503, "", { "retry-after": value }).get("/a"))).retryAfterMs;
    expect(await wait("7")).toBe(7_000);
    const untilDate = await wait(new Date(Date.now() + 60_000).toUTCString());
    expect(untilDate).toBeGreaterThan(50_000);
    expect(untilDate).toBeLessThanOrEqual(60_000);
    expect(await wait(new Date(Date.now() - 60_000).toUTCString())).toBe(0);
    expect(await wait("99999999")).toBe(3_600_000);
    expect(await wait("soon")).toBeUndefined();
  });
});
