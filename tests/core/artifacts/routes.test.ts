/** Downloads over a real connection, through the gateway's own server port. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join as joinPath } from "node:path";
import { FormatRegistry } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import fc from "fast-check";
import {
  artifactRoutes,
  artifactSchema,
  artifactToWire,
  exampleArtifact,
  type StoredArtifact,
} from "../../../core/artifacts/mod.ts";
import type { Principal } from "../../../core/auth/principal.ts";
import { createHttp, type HttpApp } from "../../../core/http/mod.ts";
import { createIds } from "../../../core/ids.ts";
import { silentLog } from "../../../core/log.ts";
import { type Server, serve } from "../../../core/runtime/mod.ts";
import { HOSTILE_IDS } from "./blob-store-suite.ts";
import { endless, jpeg, latin1, mp4, png, wav } from "./samples.ts";
import { MAX_BYTES, makeWorld, type World } from "./world.ts";

let world: World;
let server: Server;

beforeEach(async () => {
  world = await makeWorld();
  server = await serve({
    host: "127.0.0.1",
    port: 0,
    maxBodyBytes: 1000,
    fetch: application(),
  });
});
afterEach(async () => {
  await server.stop(0);
  await world.close();
});

/** The gateway's own HTTP application; any key is a principal of that name. */
function application(): HttpApp {
  return createHttp({
    routes: artifactRoutes(world.artifacts, {
      owns: (principal, keyId) => principal.keyId === keyId,
      keyOfJob: (jobId) => (jobId.startsWith("job-") ? "key-1" : undefined),
    }),
    admit: (request) => ({ principal: principalOf(request), headers: {} }),
    ids: createIds(),
    log: silentLog,
    boundHost: "127.0.0.1",
    allowedHosts: [],
    allowedOrigins: [],
    maxBodyBytes: 1000,
  });
}

function principalOf(request: Request): Principal {
  const keyId = request.headers.get("x-api-key") ?? "";
  const limits = { requestsPerMinute: 0, activeJobs: 0 };
  return { keyId, name: keyId, scopes: new Set(), limits };
}

function ask(path: string, headers: Record<string, string> = {}, method = "GET") {
  const url = `http://127.0.0.1:${server.port}${path}`;
  return fetch(url, { method, headers: { "x-api-key": "key-1", ...headers } });
}

describe("downloading", () => {
  test("the whole file comes with its length, type, tag and safe headers", async () => {
    const artifact = await world.put({ body: png(), name: "ねこ.png" });
    const response = await ask(artifact.url);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-length": String(artifact.sizeBytes),
      "content-type": "image/png",
      etag: `"${artifact.sha256}"`,
      "last-modified": new Date(artifact.createdAtMs).toUTCString(),
      "accept-ranges": "bytes",
      "content-disposition":
        "attachment; filename=\"__.png\"; filename*=UTF-8''%E3%81%AD%E3%81%93.png",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
      "cache-control": "private, max-age=86400, immutable",
    });
    expect(response.headers.get("transfer-encoding")).toBeNull();
    expect(await response.bytes()).toEqual(png());
  });

  test("HEAD answers what GET would, without the bytes and without Range", async () => {
    const artifact = await world.put({ body: png() });
    const response = await ask(artifact.url, { range: "bytes=0-9" }, "HEAD");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe(String(artifact.sizeBytes));
    expect(response.headers.get("etag")).toBe(`"${artifact.sha256}"`);
    expect((await response.bytes()).length).toBe(0);
  });

  test("any range gives exactly those bytes, with Content-Range and Content-Length", async () => {
    const bytes = jpeg(320, 200, 60_000);
    const size = bytes.length;
    const artifact = await world.put({ body: bytes });
    const at = fc.integer({ min: 0, max: size + 10 });
    await fc.assert(
      fc.asyncProperty(at, at, fc.boolean(), async (one, two, open) => {
        const [first, last] = [Math.min(one, two), Math.max(one, two)];
        const range = `bytes=${first}-${open ? "" : last}`;
        const response = await ask(artifact.url, { range });
        if (first >= size) {
          expect(response.status).toBe(416);
          expect(response.headers.get("content-range")).toBe(`bytes */${size}`);
          expect(await response.json()).toMatchObject({ error: { code: "RANGE_NOT_SATISFIABLE" } });
          return;
        }
        const end = open ? size - 1 : Math.min(last, size - 1);
        expect(response.status).toBe(206);
        expect(response.headers.get("content-range")).toBe(`bytes ${first}-${end}/${size}`);
        expect(response.headers.get("content-length")).toBe(String(end - first + 1));
        const body = await response.bytes();
        expect(Buffer.compare(body, bytes.slice(first, end + 1))).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ["several ranges", { range: "bytes=0-1,5-6" }],
    ["another unit", { range: "items=0-1" }],
    ["a range that ends before it begins", { range: "bytes=9-2" }],
    ["another version in If-Range", { range: "bytes=0-1", "if-range": '"old"' }],
    ["a weak tag in If-Range", { range: "bytes=0-1", "if-range": 'W/"old"' }],
    [
      "another date in If-Range",
      { range: "bytes=0-1", "if-range": "Mon, 01 Jan 2024 00:00:00 GMT" },
    ],
  ])("%s: the whole file with 200", async (_, headers) => {
    const artifact = await world.put({ body: png() });
    const response = await ask(artifact.url, headers as Record<string, string>);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-range")).toBeNull();
    expect(response.headers.get("content-length")).toBe(String(artifact.sizeBytes));
    expect(await response.bytes()).toEqual(png());
  });

  test("If-Range with this version's tag or date resumes", async () => {
    const artifact = await world.put({ body: png() });
    const date = new Date(artifact.createdAtMs).toUTCString();
    for (const condition of [`"${artifact.sha256}"`, date]) {
      const response = await ask(artifact.url, { range: "bytes=-4", "if-range": condition });
      expect(response.status).toBe(206);
      expect(await response.bytes()).toEqual(png().slice(-4));
    }
  });

  test("a client that has this version gets 304 and no byte", async () => {
    const artifact = await world.put({ body: png() });
    const response = await ask(artifact.url, { "if-none-match": `"${artifact.sha256}"` });
    expect(response.status).toBe(304);
    expect(response.headers.get("etag")).toBe(`"${artifact.sha256}"`);
    expect((await response.bytes()).length).toBe(0);
  });

  test("a client that goes away in the middle leaves no open file behind", async () => {
    const artifact = await world.put({ body: endless(MAX_BYTES) });
    const openOnes = () =>
      readdirSync("/proc/self/fd").filter((name) => {
        try {
          return readlinkSync(`/proc/self/fd/${name}`).includes(artifact.id);
        } catch {
          return false;
        }
      }).length;
    const sockets = Array.from({ length: 10 }, () => {
      const socket = connect(server.port, "127.0.0.1").pause();
      socket.write(`GET ${artifact.url} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: key-1\r\n\r\n`);
      return socket;
    });
    // Nobody reads, so that the answers cannot end.
    const until = async (reached: () => boolean) => {
      for (let tries = 0; !reached() && tries < 500; tries++) await Bun.sleep(10);
      expect(reached()).toBe(true);
    };
    await until(() => openOnes() === sockets.length);
    for (const socket of sockets) socket.destroy();
    await until(() => openOnes() === 0);
  });
});

describe("showing in the browser", () => {
  const kindOf = (response: Response) =>
    response.headers.get("content-disposition")?.split(";")[0] ?? "";

  test.each([
    ["a picture", png(), "inline"],
    ["a sound", wav(), "inline"],
    ["a video", mp4(), "inline"],
    ["a text", latin1("hello"), "attachment"],
    ["a PDF", latin1("%PDF-1.7"), "attachment"],
    ["a page", latin1("<html><script>alert(1)</script>"), "attachment"],
    ["an SVG", latin1("<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>"), "attachment"],
  ])("%s: inline only when asked, and only what runs nothing", async (_, bytes, expected) => {
    const artifact = await world.put({ body: bytes });
    expect(kindOf(await ask(`${artifact.url}?inline=true`))).toBe(expected);
    expect(kindOf(await ask(artifact.url))).toBe("attachment");
    expect(kindOf(await ask(`${artifact.url}?inline=false`))).toBe("attachment");
  });

  test("what a browser could run is sent as bytes of no type, whatever was declared", async () => {
    const active = [
      ["<html><script>alert(1)</script>", "text/html"],
      ["<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"],
      ["<?xml version='1.0'?><x/>", "application/xml"],
      ["alert(1)", "text/javascript"],
    ] as const;
    for (const [content, mediaType] of active) {
      const artifact = await world.put({ body: latin1(content), mediaType });
      const response = await ask(`${artifact.url}?inline=true`);
      expect(response.headers.get("content-type")).toBe("application/octet-stream");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(response.headers.get("content-security-policy")).toContain("sandbox");
    }
  });

  test("a picture that is also a script is still only a picture", async () => {
    const artifact = await world.put({ body: latin1("GIF89a/*<script>alert(1)</script>*/=1;") });
    const response = await ask(`${artifact.url}?inline=true`);
    expect(response.headers.get("content-type")).toBe("image/gif");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});

describe("whose it is", () => {
  test("somebody else's artifact and an unknown one are the same answer", async () => {
    const artifact = await world.put({ keyId: "key-2" });
    const unknown = "/artifacts/0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21";
    for (const method of ["GET", "HEAD", "DELETE"]) {
      const theirs = await ask(artifact.url, {}, method);
      const nobodys = await ask(unknown, {}, method);
      expect([theirs.status, nobodys.status]).toEqual([404, 404]);
      expect(await messageIn(theirs)).toBe(await messageIn(nobodys));
    }
    expect(world.artifacts.get(artifact.id)).toBeDefined();
  });

  test("hostile ids are unknown ids", async () => {
    for (const id of HOSTILE_IDS.filter((text) => text !== "" && !/^\.+$/.test(text))) {
      const response = await ask(`/artifacts/${encodeURIComponent(id)}`);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: "NOT_FOUND" } });
    }
  });

  test("a file that is missing although its row is there is 404 and says so", async () => {
    const artifact = await world.put({});
    rmSync(joinPath(world.folder, "artifacts", artifact.id.slice(-2), artifact.id));
    const response = await ask(artifact.url);
    expect(response.status).toBe(404);
    expect((await response.json()).error.message).toContain("gone from the store");
    expect(world.errors).toHaveLength(1);
  });

  test("deleting one's own removes it for good", async () => {
    const artifact = await world.put({});
    const response = await ask(artifact.url, {}, "DELETE");
    expect((await response.json()).data).toEqual({ id: artifact.id, deleted: true });
    expect((await ask(artifact.url)).status).toBe(404);
    expect((await ask(artifact.url, {}, "DELETE")).status).toBe(404);
  });

  test("a job's artifacts are listed for its owner alone", async () => {
    const stored = [await world.put({ body: png() }), await world.put({ body: wav() })];
    const listed = await (await ask("/jobs/job-1/artifacts")).json();
    expect(listed.data).toEqual({ items: stored.map(artifactToWire) });
    expect((await ask("/jobs/job-1/artifacts", { "x-api-key": "key-2" })).status).toBe(404);
    expect((await ask("/jobs/none/artifacts")).status).toBe(404);
  });
});

/** The answer's text without what differs between any two answers. */
async function messageIn(response: Response): Promise<string> {
  return (await response.text()).replace(/"(request_id|timestamp)":"[^"]*"/g, "");
}

describe("on the wire", () => {
  test("the names are snake_case, the times ISO 8601, and the schema says the same", async () => {
    const wire = artifactToWire(await world.put({ body: wav(0.5), name: "a.wav" }));
    expect(Object.keys(wire)).toEqual([
      "id",
      "name",
      "role",
      "url",
      "sha256",
      "media_type",
      "size_bytes",
      "expires_at",
      "metadata",
    ]);
    expect(wire.metadata).toEqual({ duration_seconds: 0.5 });
    expect(new Date(wire.expires_at ?? "").toISOString()).toBe(wire.expires_at ?? "");
    for (const format of ["uuid", "date-time"]) FormatRegistry.Set(format, () => true);
    for (const value of [wire, exampleArtifact]) {
      expect([...Value.Errors(artifactSchema, value)]).toEqual([]);
    }
    const forever: StoredArtifact = { ...(await world.put({})), expiresAtMs: undefined };
    expect(artifactToWire(forever).expires_at).toBeNull();
  });
});
