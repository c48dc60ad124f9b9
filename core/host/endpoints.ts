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
import { createCheck, expectValid } from "../validation.ts";
import type { Backend } from "./backend.ts";
import { usable } from "./health.ts";
import { inTime } from "./in-time.ts";

interface Server {
  readonly backend: Backend;
  readonly endpoint: Endpoint<unknown, TObject>;
}

const chooser = t.Object({ backend: t.Optional(t.String()) });
const TIMEOUT_MS = 30_000;

export function endpointRoutes(backends: readonly Backend[], log: Log): Route[] {
  const byRoute = new Map<string, Server[]>();
  for (const backend of backends) {
    for (const endpoint of Object.values(backend.plugin?.routes ?? {})) {
      const served = endpoint as Server["endpoint"];
      byRoute.set(served.route, [
        ...(byRoute.get(served.route) ?? []),
        { backend, endpoint: served },
      ]);
    }
  }
  return [...byRoute].flatMap(([name, servers]) => mounted(name, servers, log));
}

function mounted(name: string, servers: readonly Server[], log: Log): Route[] {
  const [method, path] = name.split(" ") as [Route["method"], string];
  const [first] = servers;
  if (!first) return [];
  const { endpoint, backend } = first;
  const check = createCheck(endpoint.input, { convert: method !== "POST" });
  return [
    route({
      method,
      path,
      policy: { access: scopeOf(endpoint.scope) },
      query: chooser,
      ...(method === "POST" ? { rawBody: true as const } : {}),
      docs: {
        tag: "backends",
        summary: `${backend.plugin?.title}: ${name}`,
        bodySchema: method === "POST" ? endpoint.input : undefined,
        querySchema: method === "POST" ? undefined : endpoint.input,
      },
      async handle(call) {
        const given = method === "POST" ? call.body : queryOf(call.request);
        const input = expectValid(check, given, method === "POST" ? "body" : "query");
        const { backend: wanted } = call.query;
        const asked = servers.filter(({ backend }) => !wanted || backend.name === wanted);
        const working = asked.filter(({ backend }) => usable(backend.state.status));
        const keyId = call.principal?.keyId ?? "";
        // Not bound to the request's own signal: on Deno it aborts after a success too.
        const ask = ({ backend, endpoint }: Server) =>
          inTime(backend.title, TIMEOUT_MS, (signal) =>
            backend.run(() => endpoint.handle(input, backend.context(keyId), signal)),
          );
        const [server] = working;
        if (!server) throw unavailable(asked[0]?.backend, wanted, servers);
        if (method !== "GET") return ask(server);
        return merged(working, await Promise.allSettled(working.map(ask)), log);
      },
    }),
  ];
}

function merged(
  servers: readonly Server[],
  answers: readonly PromiseSettledResult<unknown>[],
  log: Log,
): unknown {
  const lists: unknown[] = [];
  let failure: unknown;
  for (const [index, answer] of answers.entries()) {
    const name = servers[index]?.backend.name;
    if (answer.status === "rejected") {
      failure ??= answer.reason;
      log.warn("a backend did not answer", { backend: name, error: messageOf(answer.reason) });
    } else if (Array.isArray(answer.value)) {
      lists.push(...answer.value.map((entry: object) => ({ ...entry, backend: name })));
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
