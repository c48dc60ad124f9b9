/**
 * What the tests of authentication share: a clock to turn, a store in a folder, requests and peers.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Auth,
  type AuthOptions,
  type AuthSettings,
  createAuth,
  type KeyWishes,
  SCOPES,
} from "../../../core/auth/mod.ts";
import type { Clock } from "../../../core/clock.ts";
import { GatewayError } from "../../../core/errors.ts";
import type { Call, Connection, Policy, Route } from "../../../core/http/mod.ts";
import { type Database, openDatabase } from "../../../core/storage/mod.ts";

export interface FakeClock extends Clock {
  advance(ms: number): void;
}

export function fakeClock(startMs = Date.UTC(2026, 10, 23)): FakeClock {
  let elapsedMs = 0;
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    advance(ms) {
      elapsedMs += ms;
    },
  };
}

export const SETTINGS: AuthSettings = {
  bootstrapWindowMs: 600_000,
  failuresPerMinute: 10,
  maxKeyLifetimeMs: 0,
  limits: { requestsPerMinute: 60, activeJobs: 5 },
  allowedOrigins: [],
  trustedProxies: [],
};

export interface World {
  readonly folder: string;
  readonly clock: FakeClock;
  readonly database: Database;
  readonly auth: Auth;
  /** A second connection to the same file, as another process would have. */
  otherDatabase(): Database;
  /** The text of a key made by the operator. */
  key(wishes?: Partial<KeyWishes>): Promise<string>;
  close(): void;
}

export function open(folder: string, clock: Clock): Database {
  return openDatabase({ folder, ballastMiB: 0, clock, onFsyncFailure() {} });
}

export function createWorld(
  settings: Partial<AuthSettings> = {},
  options: Partial<AuthOptions> = {},
): World {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-auth-"));
  const clock = fakeClock();
  const database = open(folder, clock);
  const others: Database[] = [];
  const auth = createAuth({
    database,
    clock,
    settings: { ...SETTINGS, ...settings },
    startedAtMonotonicMs: clock.monotonicMs(),
    ...options,
  });
  const operator = {
    keyId: "operator",
    name: "operator",
    scopes: new Set(SCOPES),
    limits: { requestsPerMinute: 0, activeJobs: 0 },
  };
  return {
    folder,
    clock,
    database,
    auth,
    otherDatabase() {
      const other = open(folder, clock);
      others.push(other);
      return other;
    },
    async key(wishes = {}) {
      const { text } = await auth.keys.create({ name: "test", ...wishes }, operator);
      return text;
    },
    close() {
      auth.close();
      for (const other of others) other.close();
      database.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const ANY: Policy = { access: "any" };

export function peer(address = "127.0.0.1"): Connection {
  return { peer: address, keepOpen() {}, upgrade: () => false };
}

export function request(path: string, headers: Record<string, string> = {}): Request {
  return new Request(`http://gateway.local:1301${path}`, { headers });
}

/** A request whose headers hold any text: a real `Headers` refuses NULs and most of Unicode. */
export function rawRequest(
  headers: Record<string, string>,
  url = "http://gateway.local/",
): Request {
  return { url, headers: { get: (name: string) => headers[name] ?? null } } as unknown as Request;
}

/** What `work` throws, which must be a GatewayError. */
export function refusal(work: () => unknown): GatewayError {
  try {
    work();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

export async function refusalOf(work: Promise<unknown>): Promise<GatewayError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof GatewayError) return error;
  throw error ?? new Error("nothing was refused");
}

export interface Asked {
  readonly key?: string;
  readonly body?: unknown;
  readonly query?: unknown;
  readonly params?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly peer?: string;
}

/** Calls a route as the server does: guard first, then the handler. */
export async function ask(
  auth: Auth,
  routes: readonly Route[],
  name: string,
  asked: Asked = {},
): Promise<{ status: number; data: any; headers: Readonly<Record<string, string>> }> {
  const route = routes.find(({ method, path }) => `${method} ${path}` === name);
  if (!route) throw new Error(`no route ${name}`);
  const path = route.path.replace(/:(\w+)/g, (_, part: string) => asked.params?.[part] ?? "");
  const call = request(path, {
    "content-type": "application/json",
    ...(asked.key && { "x-api-key": asked.key }),
    ...asked.headers,
  });
  const connection = peer(asked.peer);
  const { principal } = auth.guard.admit(call, path, route.policy, connection);
  const answer: any = await (route.handle as (call: Call<any, any, any>) => unknown)({
    request: call,
    requestId: "test",
    params: asked.params ?? {},
    query: asked.query ?? {},
    body: asked.body ?? {},
    principal,
    connection,
  });
  const isReply = answer !== null && typeof answer === "object" && "data" in answer;
  return isReply
    ? { status: answer.status, data: answer.data, headers: answer.headers }
    : { status: 200, data: answer, headers: {} };
}

/** Waits until the condition holds, or fails after `limitMs`. */
export async function until(condition: () => boolean, limitMs = 2_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
