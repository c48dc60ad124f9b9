/** SEC-03: nothing but the key itself gets in, and the guard never breaks. */
import { afterEach, expect, test } from "bun:test";
import { generateKey, hashSecret, renewKey } from "../../../core/auth/mod.ts";
import { ANY, createWorld, peer, rawRequest, refusal, type World } from "./setup.ts";

const MUTATIONS = 100_000;
let world: World;
afterEach(() => world.close());

/** A small generator with a seed, so that a failure can be repeated. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const ODD = [
  "'",
  '"',
  "`",
  ";",
  "--",
  "' OR 1=1 --",
  "\0",
  "\n",
  "\r\n",
  "%00",
  "é",
  "Ж",
  "💥",
  "\uD800",
];
const ODDER = ["\u202e", " ", "\t", "_", "sy_", "Bearer ", "\\", "/../", "{}", "$", "%s", "\x7f"];

function mutate(key: string, random: (below: number) => number): string {
  const at = random(key.length + 1);
  const odd = [...ODD, ...ODDER][random(ODD.length + ODDER.length)] ?? "'";
  switch (random(9)) {
    case 0:
      return key.slice(0, at) + odd + key.slice(at);
    case 1:
      return key.slice(0, at) + odd + key.slice(at + 1);
    case 2:
      return key.slice(0, at);
    case 3:
      return key.slice(at) + key.slice(0, at);
    case 4:
      return key.slice(0, at) + key[random(key.length)] + key.slice(at + 1);
    case 5:
      return generateKey().text;
    case 6:
      return key.slice(0, 12) + generateKey().text.slice(12);
    case 7:
      return odd.repeat(1 + random(40));
    default:
      return random(100) === 0 ? key.repeat(1_311) : key.toLowerCase() + odd;
  }
}

test("100,000 mutations of a key are all refused, in every place a key may be", async () => {
  world = createWorld({ failuresPerMinute: 0, limits: { requestsPerMinute: 0, activeJobs: 0 } });
  const key = await world.key();
  const random = chance(20_261_123);
  const before = world.database.queries.all<{ total: number }>(
    "SELECT count(*) AS total FROM keys",
  );
  let longest = 0;
  for (let round = 0; round < MUTATIONS; round++) {
    const text = mutate(key, random);
    if (text.trim() === key) continue;
    longest = Math.max(longest, text.length);
    const asked = [
      rawRequest({ "x-api-key": text }),
      rawRequest({ authorization: `Bearer ${text}` }),
      rawRequest({ upgrade: "websocket", "sec-websocket-protocol": `sy.v1, sy.key.${text}` }),
      rawRequest({}, `http://gateway.local/?ticket=${text}`),
    ][round % 4]!;
    const policy = round % 4 === 3 ? ({ access: "any", ticket: true } as const) : ANY;
    const error = refusal(() => world.auth.guard.admit(asked, "/", policy, peer()));
    if (error.code !== "UNAUTHORIZED") throw new Error(`${JSON.stringify(text)}: ${error.code}`);
  }
  expect(longest).toBeGreaterThan(64 * 1024);
  const after = world.database.queries.all<{ total: number }>("SELECT count(*) AS total FROM keys");
  expect(after).toEqual(before);
  const good = world.auth.guard.admit(rawRequest({ "x-api-key": key }), "/", ANY, peer());
  expect(good.principal).toBeDefined();
}, 60_000);

test("with the limit on, mutations get 401 or 429 and nothing else", async () => {
  world = createWorld();
  const key = await world.key();
  const random = chance(7);
  const codes = new Set<string>();
  for (let round = 0; round < 5_000; round++) {
    const text = mutate(key, random);
    if (text.trim() === key) continue;
    const asked = rawRequest({ "x-api-key": text });
    const address = `10.0.${round % 3}.1`;
    codes.add(refusal(() => world.auth.guard.admit(asked, "/", ANY, peer(address))).code);
  }
  expect([...codes].sort()).toEqual(["RATE_LIMITED", "UNAUTHORIZED"]);
});

test("an unknown id and a wrong secret cost the same within 5 %", async () => {
  world = createWorld({ failuresPerMinute: 0 });
  const key = await world.key();
  const unknown = generateKey();
  const wrongSecret = renewKey(key.slice(3, 11)).text;
  const asked = [unknown.text, wrongSecret].map((text) => rawRequest({ "x-api-key": text }));

  function batchMs(which: Request): number {
    const start = performance.now();
    for (let round = 0; round < 50; round++) {
      try {
        world.auth.guard.admit(which, "/", ANY, peer());
      } catch {
        // Every one is refused; what matters is how long that took.
      }
    }
    return performance.now() - start;
  }

  function difference(): number {
    const times: [number[], number[]] = [[], []];
    for (let round = 0; round < 600; round++) {
      const first = round % 2;
      times[first]!.push(batchMs(asked[first]!));
      times[1 - first]!.push(batchMs(asked[1 - first]!));
    }
    const [unknownMs, wrongMs] = times.map(
      (list) => list.sort((left, right) => left - right)[list.length >> 1]!,
    );
    return Math.abs(unknownMs! / wrongMs! - 1);
  }

  difference();
  // The machine may be busy: a real difference shows every time, noise does not.
  const measured = [difference(), difference(), difference()];
  expect(Math.min(...measured)).toBeLessThan(0.05);
}, 60_000);

test("the store holds a hash, and never the secret or the text of a key", async () => {
  world = createWorld();
  const key = await world.key();
  const secret = key.slice(12, 44);
  const rows = world.database.sqlite.prepare("SELECT * FROM keys").all();
  const stored = rows.map((row) => Object.values(row).map((value) => Buffer.from(String(value))));
  expect(stored.flat().some((value) => value.includes(secret))).toBe(false);
  expect(Buffer.from(rows[0]!.hash as Uint8Array).equals(hashSecret(secret))).toBe(true);
});
