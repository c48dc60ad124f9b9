/** SEC-08: what answers carry beside their data, and what neither they nor the log ever show. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startFakeOllama } from "../fakes/ollama.ts";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { requestText, sendRaw } from "./raw.ts";
import { PUPPET, UNKNOWN_JOB } from "./table.ts";
import { openStream } from "./watch.ts";

const CANARY = "canary-7f3a-prompt";
const SAFE = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

describe(`SEC-08 headers and leaks on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let ollama: Awaited<ReturnType<typeof startFakeOllama>>;
  beforeAll(async () => {
    ollama = await startFakeOllama();
    gateway = await startGateway({
      config: `
log: { level: debug }
auth: { failures_per_minute: 0 }
backends:
  puppet: { use: ${PUPPET} }
  ollama: { use: ollama, url: "${ollama.url}" }
  dead: { use: comfyui, url: "http://127.0.0.1:1" }
`,
    });
  });
  afterAll(async () => {
    await gateway.remove();
    await ollama.stop();
  });

  test("every answer of the API has the same safe headers", async () => {
    const answers = await Promise.all([
      gateway.call("GET", "/health", undefined, { key: null }),
      gateway.call("GET", "/jobs"),
      gateway.call("GET", "/jobs", undefined, { key: null }),
      gateway.call("GET", "/nothing"),
      gateway.call("PUT", "/jobs"),
      gateway.call("POST", "/generate/dance", "{"),
      gateway.call("POST", "/generate/dance", {}),
      gateway.call("GET", "/swagger/json"),
    ]);
    for (const { status, headers } of answers) {
      const own = Object.fromEntries(Object.keys(SAFE).map((name) => [name, headers.get(name)]));
      expect([status, own]).toEqual([status, SAFE]);
      expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
      for (const name of ["server", "x-powered-by", "access-control-allow-origin", "set-cookie"]) {
        expect([status, name, headers.get(name)]).toEqual([status, name, null]);
      }
    }
  });

  test("event streams and artifacts have them too, and artifacts are in a sandbox", async () => {
    const dance = { text: "a jig", file: "<script>alert(1)</script>" };
    const { data } = await gateway.call("POST", "/generate/dance", dance);
    const job = await gateway.ended(data.job_id);
    const stream = await openStream(gateway, "GET", job.urls.events);
    await stream.ended;
    expect(stream.headers.get("x-content-type-options")).toBe("nosniff");
    expect(stream.headers.get("cache-control")).toBe("no-store");
    const { headers } = await gateway.call("GET", `${job.output.artifacts[0].url}?inline=true`);
    expect(headers.get("content-security-policy")).toEndWith("sandbox");
    expect(headers.get("content-disposition")).toStartWith("attachment");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-request-id")).not.toBeNull();
  });

  test("no error tells a stack, a path of this machine, or SQL", async () => {
    const { host } = new URL(gateway.url);
    const odd = ["'; DROP TABLE jobs; --", "../../etc/passwd", "\u0000", "%00", "a".repeat(5_000)];
    const texts: string[] = [];
    for (const text of odd) {
      const encoded = encodeURIComponent(text);
      for (const path of [
        `/jobs/${encoded}`,
        `/artifacts/${encoded}`,
        `/auth/keys/${encoded}`,
        `/jobs?backend=${encoded}&tag=${encoded}&capability=${encoded}`,
        `/jobs?after=${encoded}`,
        `/llm/models?backend=${encoded}`,
        `/swagger/assets/${encoded}`,
        `/${encoded}`,
      ]) {
        const answer = await gateway.call("GET", path);
        expect([path, answer.status < 500]).toEqual([path, true]);
        texts.push(answer.text);
      }
      const named = { name: text, text, backend: text, model: text, tag: text, start_by: text };
      for (const path of ["/generate/dance", "/llm/generate", "/generate/image", "/auth/keys"]) {
        const answer = await gateway.call("POST", path, named);
        expect([path, answer.text, [201, 202, 422, 503].includes(answer.status)]).toEqual([
          path,
          answer.text,
          true,
        ]);
        texts.push(answer.text);
      }
    }
    texts.push((await gateway.call("GET", "/puppet/break")).text);
    texts.push((await gateway.call("GET", `/jobs/${UNKNOWN_JOB}`)).text);
    texts.push((await sendRaw(gateway.url, requestText("GET", "/%", [`Host: ${host}`]))).body);
    for (const text of texts) {
      expect(text).not.toMatch(/\bat .+:\d+:\d+|node_modules|\/core\/|\.ts\b|SQLITE|SELECT /);
      expect(text).not.toContain(gateway.folder);
    }
  });

  test("neither keys nor prompts reach the log, however they come and however they fail", async () => {
    const made = await gateway.call("POST", "/auth/keys", { name: "canary", preset: "client" });
    const { key } = made.data;
    const secret = key.slice(12);
    const ask = (path: string, body: object) => gateway.call("POST", path, body, { key });
    const jobs = [
      await ask("/generate/dance", { text: CANARY }),
      await ask("/generate/dance", { text: CANARY, echo: true, fail: "it said: " }),
      await ask("/llm/generate", { prompt: `${CANARY} steps=2` }),
      await ask("/llm/generate", { prompt: `${CANARY} crash` }),
      await ask("/llm/generate", { prompt: `${CANARY} no-done` }),
    ];
    await ask("/generate/image", { prompt: CANARY });
    await ask("/generate/dance", { text: CANARY, priority: 99 });
    await gateway.call("POST", "/generate/dance", `{"text": "${CANARY}`, { key });
    await gateway.call("GET", `/jobs?ticket=${key}&key=${key}`, undefined, { key: null });
    await gateway.call("GET", `/${key}`, undefined, { key });
    await gateway.call("GET", "/puppet/break", undefined, {
      key,
      headers: { "x-request-id": key },
    });
    for (const { data } of jobs) await gateway.ended(data.job_id, 20_000);
    const log = gateway.output();
    expect(log.length).toBeGreaterThan(100);
    expect(log).not.toContain(secret);
    expect(log).not.toContain(gateway.key.slice(12));
    expect(log).not.toContain(CANARY);
    expect(log).toContain("[input][input]");
  }, 30_000);
});
