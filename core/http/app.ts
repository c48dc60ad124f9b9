/**
 * The HTTP application: routes as data in, answers in the envelope out. For every route the order
 * is the same: Host, guard, body, checks, handler. Elysia routes; it knows nothing of our shapes.
 */
import { Elysia } from "elysia";
import { GatewayError } from "../errors.ts";
import type { Ids } from "../ids.ts";
import { type Log, messageOf } from "../log.ts";
import { type Check, createCheck, expectValid } from "../validation.ts";
import { readBody } from "./body.ts";
import { clientError, failure, SECURITY_HEADERS, success } from "./envelope.ts";
import { createHostCheck } from "./hosts.ts";
import {
  type Admitted,
  type Connection,
  fileFields,
  type Policy,
  queryOf,
  Reply,
  type Route,
} from "./route.ts";

export interface HttpOptions {
  readonly routes: readonly Route[];
  readonly admit: (
    request: Request,
    path: string,
    policy: Policy,
    connection: Connection,
  ) => Admitted;
  readonly ids: Ids;
  readonly log: Log;
  readonly boundHost: string;
  readonly allowedHosts: readonly string[];
  /** Origins whose pages may call the API; none by default. */
  readonly allowedOrigins: readonly string[];
  readonly maxBodyBytes: number;
  /** Of bodies that may bring files; as `maxBodyBytes` unless said. */
  readonly maxUploadBytes?: number;
}

export type HttpApp = (request: Request, connection: Connection) => Promise<Response>;

/** What belongs to a request beside the request itself. */
interface Visit {
  readonly connection: Connection;
  readonly requestId: string;
  readonly headers: Record<string, string>;
}

interface Prepared {
  readonly route: Route;
  readonly params?: Check<unknown>;
  readonly query?: Check<unknown>;
  readonly body?: Check<unknown>;
  readonly takesFiles: boolean;
}

const REQUEST_ID = /^[\w.-]{1,64}$/;
const NO_VISIT: Visit = {
  connection: { peer: "", keepOpen() {}, upgrade: () => false },
  requestId: "",
  headers: {},
};

export function createHttp(options: HttpOptions): HttpApp {
  const { routes, ids, log, maxBodyBytes, maxUploadBytes = maxBodyBytes } = options;
  const limits = { maxBodyBytes, maxUploadBytes };
  const isOwnHost = createHostCheck(options.boundHost, options.allowedHosts);
  const visits = new WeakMap<Request, Visit>();

  async function serve(
    { route, params, query, body, takesFiles }: Prepared,
    request: Request,
    rawParams: Record<string, string>,
  ): Promise<Response> {
    const { connection, requestId, headers } = visits.get(request) ?? NO_VISIT;
    try {
      const admitted = options.admit(
        request,
        filled(route.path, rawParams),
        route.policy,
        connection,
      );
      Object.assign(headers, admitted.headers);
      const takesBody = route.rawBody || body;
      const given = takesBody ? await readBody(request, limits, takesFiles) : undefined;
      const result = await route.handle({
        request,
        requestId,
        connection,
        principal: admitted.principal,
        protocol: admitted.protocol,
        params: (params ? found(params, rawParams) : rawParams) as never,
        query: (query ? expectValid(query, queryOf(request), "query") : {}) as never,
        body: (body ? expectValid(body, given, "body") : given) as never,
      });
      if (result instanceof Response) return finished(result, headers);
      if (!(result instanceof Reply)) return success(result, 200, headers);
      return success(result.data, result.status, { ...headers, ...result.headers });
    } catch (error) {
      return failed(error, requestId, headers);
    }
  }

  function failed(error: unknown, requestId: string, headers: Record<string, string>): Response {
    const known = clientError(error);
    if (known) return failure(known, requestId, headers);
    log.error("a request failed", {
      request_id: requestId,
      error: messageOf(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return failure(new GatewayError("INTERNAL"), requestId, headers);
  }

  const app = new Elysia({ handler: { standardHostname: false }, normalize: false });
  for (const route of routes) {
    const prepared = prepare(route);
    const options = { parse: "none" } as const;
    app.route(
      route.method,
      route.path,
      ({ request, params }) => serve(prepared, request, params as Record<string, string>),
      options,
    );
    if (route.method !== "GET") continue;
    app.route(
      "HEAD",
      route.path,
      async ({ request, params }) =>
        headOf(await serve(prepared, request, params as Record<string, string>)),
      options,
    );
  }
  app.onError(({ request, error, code }) => {
    const { requestId, headers } = visits.get(request) ?? NO_VISIT;
    const known = code === "NOT_FOUND" ? noRoute(routes, request) : error;
    return failed(known, requestId, headers);
  });

  return async (request, connection) => {
    const offered = request.headers.get("x-request-id");
    const requestId = offered !== null && REQUEST_ID.test(offered) ? offered : ids.uuid();
    const headers: Record<string, string> = {
      "x-request-id": requestId,
      ...corsHeaders(request, options.allowedOrigins),
    };
    const host = request.headers.get("host") ?? "";
    if (!isOwnHost(host)) {
      const message = `"${host.slice(0, 100)}" is not one of this gateway's names`;
      return failure(new GatewayError("HOST_NOT_ALLOWED", message), requestId, headers);
    }
    if (request.method === "OPTIONS" && "access-control-allow-origin" in headers) {
      return new Response(null, { status: 204, headers: { ...headers, ...PREFLIGHT_HEADERS } });
    }
    visits.set(request, { connection, requestId, headers });
    try {
      return await app.fetch(request);
    } catch (error) {
      // The router itself failed; without this the runtime would answer with a page of its own.
      return failed(error, requestId, headers);
    }
  };
}

function prepare(route: Route): Prepared {
  return {
    route,
    params: route.params && createCheck(route.params),
    query: route.query && createCheck(route.query, { convert: true }),
    body: route.body && createCheck(route.body),
    takesFiles: route.rawBody === true && Object.keys(fileFields(route.docs.bodySchema)).length > 0,
  };
}

/** An id that is not even well formed is simply not there. */
function found(check: Check<unknown>, params: Record<string, string>): unknown {
  const checked = check(params);
  if (checked.ok) return checked.value;
  const [value] = Object.values(params);
  throw new GatewayError("NOT_FOUND", `There is nothing called ${JSON.stringify(value)} here`);
}

/** The path that the router matched, with its parameters filled in; never taken from the URL. */
function filled(path: string, params: Record<string, string>): string {
  return path.replace(/:(\w+)/g, (_, name: string) => params[name] ?? "");
}

/** 405 where the path exists with other methods, else 404. */
function noRoute(routes: readonly Route[], request: Request): GatewayError {
  const { pathname } = new URL(request.url);
  const methods = routes
    .filter(({ path }) => new RegExp(`^${path.replace(/:\w+/g, "[^/]+")}$`).test(pathname))
    .flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  if (methods.length === 0) {
    return new GatewayError("NOT_FOUND", `There is no route ${request.method} ${pathname}`);
  }
  const allow = [...new Set(methods)].join(", ");
  const message = `${request.method} is not possible on ${pathname}; it has ${allow}`;
  return new GatewayError("METHOD_NOT_ALLOWED", message, { headers: { allow } });
}

/** A handler's own response gets the common headers that it does not set itself. */
function finished(response: Response, headers: Record<string, string>): Response {
  for (const [name, value] of Object.entries({ ...SECURITY_HEADERS, ...headers })) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  return response;
}

/**
 * The same headers without the body. An answer made as one text does not tell its length itself.
 */
async function headOf(response: Response): Promise<Response> {
  const { status, headers, body } = response;
  const isStream = headers.get("content-type")?.startsWith("text/event-stream");
  if (isStream || headers.has("content-length") || body === null) await body?.cancel();
  else headers.set("content-length", String((await response.arrayBuffer()).byteLength));
  return new Response(null, { status, headers });
}

const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": "GET, HEAD, POST, DELETE",
  "access-control-allow-headers":
    "authorization, content-type, idempotency-key, last-event-id, prefer, x-api-key, x-priority",
  "access-control-max-age": "600",
};

/** Never with credentials: the API knows callers by their key alone. */
function corsHeaders(request: Request, allowed: readonly string[]): Record<string, string> {
  if (allowed.length === 0) return {};
  const origin = request.headers.get("origin");
  if (origin === null || !allowed.includes(origin)) return { vary: "origin" };
  return {
    "access-control-allow-origin": origin,
    "access-control-expose-headers":
      "location, retry-after, ratelimit, ratelimit-policy, x-request-id, x-gateway-job",
    vary: "origin",
  };
}
