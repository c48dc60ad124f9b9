/** The application in front of every route: guard first, one envelope, HEAD without a body. */
import { describe, expect, test } from "bun:test";
import { Type as t } from "@sinclair/typebox";
import { GatewayError } from "../../../core/errors.ts";
import { createHttp, type Policy, type Route, route } from "../../../core/http/mod.ts";
import { createIds } from "../../../core/ids.ts";
import { silentLog } from "../../../core/log.ts";

const PUBLIC: Policy = { access: "public" };
const connection = { peer: "127.0.0.1", keepOpen() {}, upgrade: () => false };
const docs = { tag: "test", summary: "A test" };

function get(path: string, handle: () => unknown, policy = PUBLIC): Route {
  return route({ method: "GET", path, policy, docs, handle });
}

function appOf(
  routes: readonly Route[],
  admit: () => { headers: object } = () => ({ headers: {} }),
) {
  return createHttp({
    routes,
    admit: admit as never,
    ids: createIds(Date.now),
    log: silentLog,
    boundHost: "127.0.0.1",
    allowedHosts: [],
    allowedOrigins: [],
    maxBodyBytes: 1_000,
  });
}

async function ask(app: ReturnType<typeof appOf>, path: string, init: RequestInit = {}) {
  const headers = { host: "localhost", ...(init.headers as object) };
  return app(new Request(`http://localhost${path}`, { ...init, headers }), connection);
}

describe("the HTTP application", () => {
  test("SEC-09: no handler runs, and no body is read, before its own policy was asked", async () => {
    const ran: string[] = [];
    const asked: string[] = [];
    const policies = ["public", "bootstrap", "any", "tts", "keys:admin"] as const;
    const routes = policies.flatMap((access) =>
      (["GET", "POST", "DELETE"] as const).map((method) =>
        route({
          method,
          path: `/${access.replace(":", "-")}/:id`,
          policy: { access },
          docs,
          ...(method === "POST" ? { body: t.Object({}) } : {}),
          handle: () => ran.push(access),
        }),
      ),
    );
    const app = createHttp({
      routes,
      admit(_request, path, { access }) {
        asked.push(`${path} ${access}`);
        throw new GatewayError("UNAUTHORIZED");
      },
      ids: createIds(Date.now),
      log: silentLog,
      boundHost: "127.0.0.1",
      allowedHosts: [],
      allowedOrigins: [],
      maxBodyBytes: 1_000,
    });
    for (const { method, path, policy } of routes) {
      for (const verb of method === "GET" ? ["GET", "HEAD"] : [method]) {
        const body = verb === "POST" ? { body: "no json" } : {};
        const answer = await ask(app, path.replace(":id", "7"), { method: verb, ...body });
        expect(answer.status).toBe(401);
        expect(asked.pop()).toBe(`${path.replace(":id", "7")} ${policy.access}`);
      }
    }
    expect([ran, asked]).toEqual([[], []]);
  });

  test("a router that fails answers in the envelope, not with a page of the runtime", async () => {
    const app = appOf([get("/x/:a", () => 1), get("/x/:b/y", () => 2)]);
    const answer = await ask(app, "/x/1").catch((error) => error);
    expect(answer.status).toBe(500);
    expect(((await answer.json()) as any).error.code).toBe("INTERNAL");
  });

  test("a handler that throws gives INTERNAL and nothing of what it threw", async () => {
    const app = appOf([
      get("/throws", () => {
        throw new Error("secret at /etc/passwd");
      }),
      get("/rejects", () => Promise.reject("a text")),
    ]);
    for (const path of ["/throws", "/rejects"]) {
      const answer = await ask(app, path);
      const text = await answer.text();
      expect([answer.status, text.includes("INTERNAL")]).toEqual([500, true]);
      expect(text).not.toMatch(/secret|passwd|a text/);
    }
  });

  test("HEAD tells the length of a text, and lets go of a stream", async () => {
    let cancelled = 0;
    const endless = () =>
      new Response(new ReadableStream({ cancel: () => void cancelled++ }), {
        headers: { "content-type": "text/event-stream; charset=utf-8" },
      });
    const sized = () =>
      new Response(new ReadableStream({ cancel: () => void cancelled++ }), {
        headers: { "content-type": "video/mp4", "content-length": "1000000" },
      });
    const app = appOf([
      get("/text", () => ({ text: "grün" })),
      get("/endless", endless),
      get("/sized", sized),
    ]);
    const full = Buffer.byteLength(await (await ask(app, "/text")).text());
    const text = await ask(app, "/text", { method: "HEAD" });
    expect([text.headers.get("content-length"), await text.text()]).toEqual([String(full), ""]);
    const stream = await ask(app, "/endless", { method: "HEAD" });
    expect([stream.headers.get("content-length"), cancelled]).toEqual([null, 1]);
    const large = await ask(app, "/sized", { method: "HEAD" });
    expect([large.headers.get("content-length"), cancelled]).toEqual(["1000000", 2]);
  });

  test("a Content-Length that came twice lets no body past the cap", async () => {
    const body = t.Object({ text: t.String() });
    const echo = route({
      method: "POST",
      path: "/echo",
      policy: PUBLIC,
      docs,
      body,
      handle: (call) => call.body.text.length,
    });
    const app = appOf([echo]);
    for (const [size, status] of [
      [100, 200],
      [5_000, 413],
    ] as const) {
      const text = JSON.stringify({ text: "x".repeat(size) });
      const headers = {
        "content-type": "application/json",
        "content-length": `${text.length}, ${text.length}`,
      };
      const answer = await ask(app, "/echo", { method: "POST", body: text, headers });
      expect(answer.status).toBe(status);
    }
  });
});
