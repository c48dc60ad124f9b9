/** SEC-03 over HTTP: nothing that resembles a key gets in, breaks a route, or reaches the log. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { requestText, sendRaw } from "./raw.ts";

const MUTATIONS = 3_000;
const RAW_MUTATIONS = 600;
const AT_ONCE = 16;
const ODD = ["'", '"', "' OR 1=1 --", ";", "%00", "_", "sy_", "Bearer ", "\\", "../", "{}", "\t"];

/** A text made from the key by cutting, turning, doubling and sowing odd characters. */
function mutant(key: string): fc.Arbitrary<string> {
  const at = fc.nat(key.length);
  const odd = fc.constantFrom(...ODD);
  const letter = fc.constantFrom(...key);
  return fc.oneof(
    fc.tuple(at, odd).map(([i, text]) => key.slice(0, i) + text + key.slice(i)),
    fc.tuple(at, letter).map(([i, text]) => key.slice(0, i) + text + key.slice(i + 1)),
    at.map((i) => key.slice(0, i)),
    at.map((i) => key.slice(i) + key.slice(0, i)),
    fc.constantFrom(key.toUpperCase(), key.toLowerCase(), key + key, `${key},${key}`),
    fc.array(letter, { minLength: 38, maxLength: 38 }).map((secret) => {
      return key.slice(0, 12) + secret.join("");
    }),
    fc.string({ minLength: 1, maxLength: 80 }).map((text) => text.replace(/[^\x21-\x7e]/g, "x")),
  );
}

describe(`SEC-03 mutated keys on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ config: "auth: { failures_per_minute: 0 }\n" });
  });
  afterAll(() => gateway.remove());

  const samples = (count: number): string[] =>
    fc
      .sample(mutant(gateway.key), { numRuns: count, seed: 20_261_123 })
      .filter((text) => text.trim() !== gateway.key && text.trim() !== "");

  async function statuses<T>(items: T[], ask: (item: T, index: number) => Promise<number>) {
    const seen = new Map<number, T>();
    const entries = [...items.entries()];
    const worker = async () => {
      for (let entry = entries.pop(); entry; entry = entries.pop()) {
        seen.set(await ask(entry[1], entry[0]), entry[1]);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return Object.fromEntries(seen);
  }

  test("thousands of mutations, in each place for a key, are all 401", async () => {
    const mutants = samples(MUTATIONS);
    expect(mutants.length).toBeGreaterThan(MUTATIONS * 0.9);
    const seen = await statuses(mutants, async (text, index) => {
      const headers: Record<string, string> =
        index % 2 === 0 ? { "x-api-key": text } : { authorization: `Bearer ${text}` };
      const { status } = await gateway.call("GET", "/jobs", undefined, { key: null, headers });
      return status;
    });
    expect(Object.keys(seen)).toEqual(["401"]);
  }, 30_000);

  test("bytes that no client sends are 4xx or a closed connection, never 5xx or 200", async () => {
    const { host } = new URL(gateway.url);
    const bytes = ["\u00e9", "\u00ff", "\u0000", "\u0007", "\u007f", "\r\n ", "\n", "\u0080"];
    const mutants = samples(RAW_MUTATIONS).map((text, index) => {
      const cut = index % text.length;
      return text.slice(0, cut) + bytes[index % bytes.length] + text.slice(cut);
    });
    const seen = await statuses(mutants, async (text) => {
      const headers = [`Host: ${host}`, `X-API-Key: ${text}`];
      return (await sendRaw(gateway.url, requestText("GET", "/jobs", headers))).status;
    });
    for (const status of Object.keys(seen)) expect(["0", "400", "401", "431"]).toContain(status);
  }, 30_000);

  test("the same key twice, a key of 64 KB and an empty key are refused", async () => {
    const { host } = new URL(gateway.url);
    const { key } = gateway;
    const raw = async (...headers: string[]) =>
      (await sendRaw(gateway.url, requestText("GET", "/jobs", [`Host: ${host}`, ...headers])))
        .status;
    expect(await raw(`X-API-Key: ${key}`)).toBe(200);
    expect(await raw(`X-API-KEY:   ${key}  `)).toBe(200);
    expect(await raw(`X-API-Key: ${key}`, "X-API-Key: other")).toBe(401);
    expect(await raw("X-API-Key: ")).toBe(401);
    expect(await raw("Authorization: Bearer")).toBe(401);
    expect(await raw(`Authorization: Basic ${btoa(`x:${key}`)}`)).toBe(401);
    expect([0, 400, 401, 413, 431]).toContain(await raw(`X-API-Key: ${key.repeat(1_300)}`));
    expect(await raw(`Cookie: x-api-key=${key}`)).toBe(401);
  });

  test("a key in the URL opens nothing", async () => {
    for (const name of ["key", "api_key", "x-api-key", "token", "ticket", "access_token"]) {
      const path = `/jobs?${name}=${gateway.key}`;
      expect((await gateway.call("GET", path, undefined, { key: null })).status).toBe(401);
    }
  });

  test("no mutation reached the log, and the true key still works", async () => {
    expect(gateway.output()).not.toContain('"level":"error"');
    expect(gateway.output()).not.toMatch(/SQLITE|syntax error/i);
    expect(gateway.output()).not.toContain(gateway.key);
    expect((await gateway.call("GET", "/jobs")).status).toBe(200);
  });

  test("ten wrong keys in a minute from one address, then 429 with Retry-After", async () => {
    const limited = await startGateway();
    try {
      const statuses = [];
      for (let round = 0; round < 12; round++) {
        const answer = await limited.call("GET", "/jobs", undefined, { key: `sy_wrong${round}` });
        statuses.push(answer.status);
        if (answer.status !== 429) continue;
        expect(answer.error.code).toBe("RATE_LIMITED");
        expect(Number(answer.headers.get("retry-after"))).toBeWithin(1, 61);
      }
      expect(statuses).toEqual([...Array(10).fill(401), 429, 429]);
      expect((await limited.call("GET", "/jobs")).status).toBe(200);
    } finally {
      await limited.remove();
    }
  });
});
