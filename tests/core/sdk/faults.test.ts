/** REL-14 for the HTTP client: every way of a server to misbehave ends in its class, in time. */
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BackendError, type BackendErrorCode, ndjson, t } from "switchyard/sdk";
import { createHttpClient } from "../../../core/sdk/http-client.ts";
import { type Fault, startFaultyServer } from "../../fakes/faulty-server.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function faulty(...words: Parameters<typeof startFaultyServer>) {
  const server = await startFaultyServer(...words);
  stops.push(server.stop);
  const headers = { "x-api-key": "secret-key" };
  return { server, http: createHttpClient({ baseUrl: server.url, title: "ComfyUI", headers }) };
}

const LIMITS = { timeoutMs: 250, idleTimeoutMs: 250 };
const Models = t.Object({ models: t.Array(t.String()) });
const codeOf = (error: unknown): string => (BackendError.is(error) ? error.code : String(error));

/** The class as JSON, and as a raw body; "fine" where only the plugin can tell. */
type Classes = readonly [BackendErrorCode, BackendErrorCode | "fine"];
const CLASSES: Partial<Readonly<Record<Fault, Classes>>> = {
  "hang-before-headers": ["STALLED", "STALLED"],
  "hang-mid-body": ["STALLED", "STALLED"],
  drip: ["STALLED", "STALLED"],
  reset: ["BACKEND_UNREACHABLE", "BACKEND_UNREACHABLE"],
  "cut-json": ["BACKEND_BAD_OUTPUT", "fine"],
  "cut-chunked": ["BACKEND_BAD_OUTPUT", "BACKEND_LOST"],
  "short-png": ["BACKEND_BAD_OUTPUT", "BACKEND_BAD_OUTPUT"],
  "short-wav": ["BACKEND_BAD_OUTPUT", "BACKEND_BAD_OUTPUT"],
  "garbage-json": ["BACKEND_BAD_OUTPUT", "fine"],
  html: ["BACKEND_BAD_OUTPUT", "fine"],
  "large-json": ["BACKEND_BAD_OUTPUT", "fine"],
  "gzip-bomb": ["BACKEND_BAD_OUTPUT", "BACKEND_BAD_OUTPUT"],
  "wrong-type": ["BACKEND_BAD_OUTPUT", "fine"],
  redirect: ["BACKEND_MISMATCH", "BACKEND_MISMATCH"],
  "error-in-200": ["BACKEND_FAILED", "fine"],
  "silent-socket": ["BACKEND_UNREACHABLE", "BACKEND_UNREACHABLE"],
  "split-utf8": ["BACKEND_BAD_OUTPUT", "fine"],
  "duplicate-final": ["BACKEND_BAD_OUTPUT", "fine"],
  "not-http": ["BACKEND_MISMATCH", "BACKEND_MISMATCH"],
  unauthorized: ["BACKEND_UNAUTHORIZED", "BACKEND_UNAUTHORIZED"],
  busy: ["BACKEND_BUSY", "BACKEND_BUSY"],
  "server-error": ["BACKEND_FAILED", "BACKEND_FAILED"],
  "out-of-memory": ["OUT_OF_MEMORY", "OUT_OF_MEMORY"],
};

describe("ends in its class within its timeout and 1 s", () => {
  for (const [fault, [json, raw]] of Object.entries(CLASSES) as [Fault, [string, string]][]) {
    test(fault, async () => {
      const { server, http } = await faulty(fault);
      // Making the bomb takes the server longer than it may take to answer.
      if (fault === "gzip-bomb") await http.get("/warm").catch(() => {});
      const startedMs = performance.now();
      const parsed = await http.get("/x", { ...LIMITS, as: Models }).catch((thrown) => thrown);
      expect(codeOf(parsed)).toBe(json);
      const middleMs = performance.now();
      expect(middleMs - startedMs).toBeLessThan(500 + 1_000);
      const body = await http
        .fetch("/x", LIMITS)
        .then(async (response) => void (await response.bytes()))
        .then(() => "fine", codeOf);
      expect(body).toBe(raw);
      expect(performance.now() - middleMs).toBeLessThan(500 + 1_000);
      expect(server.canary).toEqual([]);
    });
  }
});

test("a stall names its limit", async () => {
  const { http } = await faulty("hang-before-headers");
  const error = await http.get("/x", { timeoutMs: 120 }).catch((thrown) => thrown);
  expect((error as Error).message).toBe("ComfyUI did not answer GET /x for 120 ms");
  const { http: later } = await faulty("hang-mid-body");
  const silent = await later.get("/x", { idleTimeoutMs: 130 }).catch((thrown) => thrown);
  expect((silent as Error).message).toContain("GET /x for 130 ms");
});

test("a JSON answer that trickles in is bounded as a whole", async () => {
  const { http } = await faulty("drip");
  const startedMs = performance.now();
  // Each silence is shorter than its limit, so only the bound of the whole can end it.
  const limits = { timeoutMs: 100, idleTimeoutMs: 1_300 };
  const error = await http.get("/x", limits).catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "STALLED" });
  expect((error as Error).message).toContain("did not finish its answer to GET /x for 1400 ms");
  expect(performance.now() - startedMs).toBeLessThan(2_400);
});

test("a redirect is not followed: no key reaches the other host, for no method", async () => {
  const { server, http } = await faulty("redirect");
  await http.get("/x").catch(() => {});
  await http.post("/x", { prompt: "secret" }).catch(() => {});
  await http.fetch("/x", { method: "DELETE" }).catch(() => {});
  await http.socket("/ws").catch(() => {});
  expect(server.calls).toEqual(["GET /x", "POST /x", "DELETE /x", "GET /ws"]);
  expect(server.heads.every((head) => head.includes("secret-key"))).toBe(true);
  expect(server.canary).toEqual([]);
});

test("NDJSON cut inside a UTF-8 character comes out whole", async () => {
  const { http } = await faulty("split-utf8");
  const lines: unknown[] = [];
  for await (const line of ndjson(await http.fetch("/generate"))) lines.push(line);
  expect(lines).toEqual([{ response: "naïve 🚂" }, { done: true }]);
});

test("only the matching paths misbehave; the others reach the healthy server", async () => {
  const healthy = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => Response.json({ got: await request.text() }),
  });
  stops.push(() => healthy.stop(true));
  const match = (path: string): boolean => path === "/bad";
  const { server, http } = await faulty("server-error", { match, otherwise: String(healthy.url) });
  expect(await http.post("/good", "abc")).toEqual({ got: "abc" });
  expect(codeOf(await http.get("/bad").catch((thrown) => thrown))).toBe("BACKEND_FAILED");
  expect(await http.post("/good", "x".repeat(200_000))).toEqual({ got: "x".repeat(200_000) });
  expect(server.calls).toEqual(["GET /bad"]);
});

describe("memory grows by at most 32 MiB", () => {
  const measure = async (url: string): Promise<void> => {
    const client = join(import.meta.dirname, "read-json.ts");
    const child = Bun.spawn([process.execPath, client, url], { stdout: "pipe" });
    const { code, grownMiB } = JSON.parse(await new Response(child.stdout).text());
    expect(code).toBe("BACKEND_BAD_OUTPUT");
    expect(grownMiB).toBeLessThan(32);
  };

  for (const fault of ["gzip-bomb", "large-json"] as const) {
    test(`with ${fault}`, async () => {
      await measure((await faulty(fault)).server.url);
    }, 30_000);
  }

  test("with JSON that never ends", async () => {
    const piece = new TextEncoder().encode("x".repeat(256 * 1024));
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response(new ReadableStream({ pull: (controller) => controller.enqueue(piece) })),
    });
    stops.push(() => server.stop(true));
    await measure(String(server.url));
  }, 30_000);
});
