/** SEC-01: no spelling of a path or a host reaches a route past its authorisation. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Route } from "../../core/http/mod.ts";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { type RawAnswer, requestText, sendRaw } from "./raw.ts";
import { EVERYTHING, filledPath, NOWHERE, routeTable } from "./table.ts";

interface Attempt {
  readonly what: string;
  readonly target: string;
  readonly hosts: readonly string[];
}

const AT_ONCE = 16;

/** Every way to write this path and host that a router, a proxy or a guard may read differently. */
function corpus(path: string, host: string): Attempt[] {
  const last = path.lastIndexOf("/");
  const with2f = `${path.slice(0, last)}%2f${path.slice(last + 1)}`;
  const targets: Record<string, string> = {
    plain: path,
    "one segment before": `/zz${path}`,
    "two segments before": `/zz/yy${path}`,
    "double slash": `/${path}`,
    "double slash inside": path.replaceAll("/", "//"),
    "other authority": `//evil.com${path}`,
    "trailing slash": `${path}/`,
    "two trailing slashes": `${path}//`,
    "upper case": path.toUpperCase(),
    "semicolon behind": `${path};`,
    "parameter behind": `${path};a=b`,
    "semicolon segment": `/;${path}`,
    "dot segment": `/.${path}`,
    "double dot segment": `/zz/..${path}`,
    "double dot of a public route": `/health/..${path}`,
    "encoded double dot": `/health/%2e%2e${path}`,
    "semicolon double dot": `/swagger/..;${path}`,
    "encoded slash": with2f,
    "encoded slash in front": `/%2f${path.slice(1)}`,
    "encoded slash behind": `${path}%2f`,
    "escape through a parameter": `/swagger/assets/..%2f..${path.replaceAll("/", "%2f")}`,
    backslash: path.replaceAll("/", "\\"),
    "zero byte": `${path}%00`,
    "encoded letter": `/%${path.charCodeAt(1).toString(16)}${path.slice(2)}`,
    "question mark": `${path}?`,
    query: `${path}?ticket=x&key=y&api_key=z`,
    fragment: `${path}#health`,
    "without slash": path.slice(1),
    "absolute, own": `http://${host}${path}`,
    "absolute, short": `http://a${path}`,
    "absolute, short, shifted": `http://a/zz${path}`,
    "absolute, other": `http://evil.com${path}`,
    "absolute, with user": `http://${host}@evil.com${path}`,
    "absolute, query before path": `http://evil.com?${path}`,
    "absolute, https": `https://${host}${path}`,
  };
  const hosts: Record<string, readonly string[]> = {
    short: ["a"],
    "one digit": ["1"],
    empty: [""],
    none: [],
    "with path": ["evil.com/x?"],
    "with own path": [`${host}/health?`],
    "with public path": ["a/health?"],
    "with fragment": [`${host}#`],
    "with user": [`x@${host}`],
    other: ["evil.com"],
    "own, then other": [host, "evil.com"],
    "other, then own": ["evil.com", host],
    "own twice": [host, host],
    "own, then a list": [`${host}, evil.com`],
    "with space": [`${host} evil.com`],
    "long port": ["localhost:99999999"],
    "port too large": ["localhost:99999"],
    "broken Punycode": ["xn--.local"],
  };
  return [
    ...Object.entries(targets).map(([what, target]) => ({ what, target, hosts: [host] })),
    ...Object.entries(hosts).flatMap(([what, list]) => [
      { what: `host ${what}`, target: path, hosts: list },
      { what: `host ${what}, shifted`, target: `/zz${path}`, hosts: list },
    ]),
  ];
}

describe(`SEC-01 host and path confusion on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let routes: readonly Route[];
  let values: Record<string, string>;
  let weakKey: string;

  beforeAll(async () => {
    [gateway, routes] = await Promise.all([startGateway({ config: EVERYTHING }), routeTable()]);
    const dance = { text: "a jig", file: "words" };
    const { data } = await gateway.call("POST", "/generate/dance", dance);
    const job = await gateway.ended(data.job_id);
    const other = await gateway.call("POST", "/auth/keys", { name: "other" });
    values = { ...NOWHERE, job_id: job.job_id, id: job.output.artifacts[0].id, file: "start.js" };
    values.key = other.data.id;
    const weak = await gateway.call("POST", "/auth/keys", { name: "weak", scopes: ["metrics"] });
    weakKey = weak.data.key;
  });
  afterAll(() => gateway.remove());

  const pathOf = ({ path }: Route): string =>
    filledPath(path, path.startsWith("/auth/") ? { ...values, id: values.key! } : values);

  async function attack(route: Route, key: string | undefined): Promise<string[]> {
    const host = new URL(gateway.url).host;
    const body = route.method === "POST" ? ['{"name":"x","text":"x","prompt":"x"}'] : [];
    const length = [`Content-Length: ${body[0]?.length ?? 0}`, "Content-Type: application/json"];
    const attempts = corpus(pathOf(route), host);
    const wrong: string[] = [];
    const worker = async () => {
      for (let attempt = attempts.pop(); attempt; attempt = attempts.pop()) {
        const { what, target, hosts } = attempt;
        const headers = hosts.map((name) => `Host: ${name}`);
        if (body.length > 0) headers.push(...length);
        if (key) headers.push(`X-API-Key: ${key}`);
        const request = requestText(route.method, target, headers) + body.join("");
        const answer = await sendRaw(gateway.url, request);
        if (!isRefused(answer)) {
          wrong.push(`${what}: ${route.method} ${target} [${hosts}] -> ${answer.status}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return wrong;
  }

  /** 4xx, or a connection closed without an answer; never 5xx, and never a redirect. */
  function isRefused({ status, body }: RawAnswer): boolean {
    if (status === 0) return true;
    if (status === 200 && body.includes('"data":{"status":"ok"}')) return true;
    return status >= 400 && status < 500;
  }

  test("without a key no route answers but the public ones", async () => {
    const closed = routes.filter(({ policy }) => policy.access !== "public");
    expect(closed.length).toBeGreaterThan(20);
    const wrong: string[] = [];
    for (const route of closed) wrong.push(...(await attack(route, undefined)));
    expect(wrong).toEqual([]);
  }, 60_000);

  test("a key without the scope reaches no route that needs it", async () => {
    const scoped = routes.filter(
      ({ policy }) => !["public", "any", "bootstrap"].includes(policy.access),
    );
    expect(scoped.length).toBeGreaterThan(12);
    const wrong: string[] = [];
    for (const route of scoped) wrong.push(...(await attack(route, weakKey)));
    expect(wrong).toEqual([]);
  }, 60_000);

  test("the attacks changed nothing", async () => {
    const keys = await gateway.call("GET", "/auth/keys");
    expect(keys.data.items).toHaveLength(3);
    expect(keys.data.items.every((key: any) => key.revoked_at === null)).toBe(true);
    const jobs = await gateway.call("GET", "/jobs?all=true");
    expect(jobs.data.items.map((job: any) => job.job_id)).toEqual([values.job_id]);
    expect((await gateway.call("GET", `/artifacts/${values.id}`)).text).toBe("words");
    expect(gateway.output()).not.toContain('"level":"error"');
  });

  test("a short host is refused before it can shift the path", async () => {
    const headers = ["Host: a", `X-API-Key: ${gateway.key}`];
    for (const target of ["/jobs", "/zz/jobs", "/z/health"]) {
      const answer = await sendRaw(gateway.url, requestText("GET", target, headers));
      expect([target, answer.status]).toEqual([target, 403]);
      expect(JSON.parse(answer.body).error.code).toBe("HOST_NOT_ALLOWED");
    }
  });

  test("with a short host that is allowed, the path stays what was asked", async () => {
    const config = `http: { allowed_hosts: [a] }\n${EVERYTHING}`;
    const short = await startGateway({ config });
    try {
      const headers = ["Host: a", `X-API-Key: ${short.key}`];
      const ask = (target: string) => sendRaw(short.url, requestText("GET", target, headers));
      expect((await ask("/jobs")).status).toBe(200);
      expect((await ask("/zz/jobs")).status).toBe(404);
      expect((await ask("/z/jobs")).status).toBe(404);
    } finally {
      await short.remove();
    }
  });
});
