/**
 * Mounts the plugins' own routes, which answer at once. When several backends serve one GET and
 * answer with lists, the client gets one list, each entry with its `backend`.
 */
import { type TObject, Type as t } from "@sinclair/typebox";
import { SCOPES, type Scope } from "../auth/scopes.ts";
import { GatewayError } from "../errors.ts";
import { queryOf, type Route, route } from "../http/route.ts";
import { type Log, messageOf } from "../log.ts";
import type { Endpoint } from "../sdk/plugin.ts";
import { type Check, createCheck, expectValid } from "../validation.ts";
import type { Backend } from "./backend.ts";
import { usable } from "./health.ts";
import { inTime } from "./in-time.ts";

interface Server {
  readonly backend: Backend;
  readonly endpoint: Endpoint<unknown, TObject>;
  readonly check: Check<Record<string | number, unknown>>;
}

const chooser = t.Object({ backend: t.Optional(t.String()) });
const TIMEOUT_MS = 30_000;

export function endpointRoutes(backends: readonly Backend[], log: Log): Route[] {
  const byRoute = new Map<string, Server[]>();
  for (const backend of backends) {
    for (const given of Object.values(backend.plugin?.routes ?? {})) {
      const endpoint = given as Server["endpoint"];
      const { route, input } = endpoint;
      const check = createCheck(input, { convert: !route.startsWith("POST ") });
      byRoute.set(route, [...(byRoute.get(route) ?? []), { backend, endpoint, check }]);
    }
  }
  return [...byRoute].flatMap(([name, servers]) => mounted(name, servers, log));
}

function mounted(name: string, servers: readonly Server[], log: Log): Route[] {
  const [method, path] = name.split(" ") as [Route["method"], string];
  const [first] = servers;
  if (!first) return [];
  const { endpoint } = first;
  const inputs = [...new Set(servers.map((server) => server.endpoint.input))];
  const schema = inputs.length === 1 ? endpoint.input : t.Composite(inputs);
  const titles = [...new Set(servers.map(({ backend }) => backend.title))].join(", ");
  return [
    route({
      method,
      path,
      policy: { access: scopeOf(endpoint.scope) },
      query: chooser,
      ...(method === "POST" ? { rawBody: true as const } : {}),
      docs: {
        tag: "backends",
        summary: `${titles}: ${name}`,
        bodySchema: method === "POST" ? schema : undefined,
        querySchema: method === "POST" ? undefined : schema,
      },
      async handle(call) {
        const given = method === "POST" ? call.body : queryOf(call.request);
        const { backend: wanted } = call.query;
        const asked = servers.filter(({ backend }) => !wanted || backend.name === wanted);
        const what = method === "POST" ? "body" : "query";
        const inputs = new Map(asked.map((it) => [it, expectValid(it.check, given, what)]));
        const working = asked.filter(({ backend }) => usable(backend.state.status));
        const keyId = call.principal?.keyId ?? "";
        const [server] = working;
        if (!server) throw unavailable(asked[0]?.backend, wanted, servers);
        // A list is not held up by one of several servers longer than its health check may take.
        const isJoined = method === "GET" && working.length > 1;
        const limitMs = ({ settings }: Backend) =>
          isJoined ? Math.min(TIMEOUT_MS, settings.healthTimeoutMs) : TIMEOUT_MS;
        // Not bound to the request's own signal: on Deno it aborts after a success too.
        const ask = (it: Server) =>
          inTime(it.backend.title, limitMs(it.backend), (signal) =>
            it.backend.run(() =>
              it.endpoint.handle(inputs.get(it) ?? {}, it.backend.context(keyId), signal),
            ),
          );
        if (method !== "GET") return ask(server);
        const answers = await Promise.allSettled(working.map(ask));
        return merged(working, answers, (it) => filtersBeside(it, servers, given), log);
      },
    }),
  ];
}

type Filter = readonly [name: string, value: string];

/** What the query asks of every list and this server does not know how to do. */
function filtersBeside({ endpoint }: Server, servers: readonly Server[], query: unknown): Filter[] {
  const knows = (input: TObject, name: string) => Object.hasOwn(input.properties, name);
  return Object.entries(Object(query)).flatMap(([name, value]) => {
    if (knows(endpoint.input, name) || typeof value !== "string") return [];
    return servers.some((other) => knows(other.endpoint.input, name)) ? [[name, value]] : [];
  });
}

/** `language=en` fits an entry with `language: "en-GB"`, or `languages: ["fr", "en"]`. */
function fits(entry: Readonly<Record<string, unknown>>, [name, value]: Filter): boolean {
  const held = [entry[name], entry[`${name}s`]].flat();
  const asked = value.toLowerCase();
  return held.some((it) => {
    const text = typeof it === "string" ? it.toLowerCase() : "";
    return text === asked || text.startsWith(`${asked}-`);
  });
}

function merged(
  servers: readonly Server[],
  answers: readonly PromiseSettledResult<unknown>[],
  filters: (server: Server) => readonly Filter[],
  log: Log,
): unknown {
  const lists: unknown[] = [];
  let failure: unknown;
  for (const [index, answer] of answers.entries()) {
    const server = servers[index];
    const name = server?.backend.name;
    if (answer.status === "rejected") {
      failure ??= answer.reason;
      log.warn("a backend did not answer", { backend: name, error: messageOf(answer.reason) });
    } else if (Array.isArray(answer.value)) {
      const left = server ? filters(server) : [];
      const fitting = answer.value.filter((entry) => left.every((filter) => fits(entry, filter)));
      lists.push(...fitting.map((entry: object) => ({ ...entry, backend: name })));
    } else return answer.value;
  }
  if (failure !== undefined && answers.every(({ status }) => status === "rejected")) throw failure;
  return lists;
}

function unavailable(
  backend: Backend | undefined,
  wanted: string | undefined,
  servers: readonly Server[],
): GatewayError {
  if (!backend) {
    const names = servers.map((server) => server.backend.name).join(", ");
    return new GatewayError("NOT_FOUND", `No backend "${wanted}" serves this; there is ${names}`);
  }
  return new GatewayError("SERVICE_UNAVAILABLE", `${backend.title} service is not responding`, {
    retryAfterMs: 5_000,
    details: { reason: backend.state.reason },
  });
}

/** A scope that no key can have keeps the route shut rather than open. */
function scopeOf(name: string): Scope {
  return SCOPES.find((scope) => scope === name) ?? "config:admin";
}
