/**
 * One request of MCP's HTTP transport, as WanGP serves it: without a session. Tried with the
 * packages mcp 1.10.1, which WanGP pins, 1.30.0 and 2.3.0.
 */
import { BackendError, type HttpClient, type matches, type Static } from "switchyard/sdk";

type AnySchema = Parameters<typeof matches>[0];

export interface CallOptions<Schema> {
  readonly as: Schema;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** 1.10.1 refuses a request that does not take both, with 406. */
const HEADERS = { accept: "application/json, text/event-stream" };

/** Where the server of each client answered last. */
const paths = new WeakMap<HttpClient, string>();

/** 1.10.1 answers only with the slash, the others only without; each redirects to its own. */
export async function post<Schema extends AnySchema>(
  http: HttpClient,
  method: string,
  params: object,
  options: CallOptions<Schema>,
): Promise<Static<Schema>> {
  const body = { jsonrpc: "2.0", id: 1, method, params };
  const send = (path: string) => http.post(path, body, { headers: HEADERS, ...options });
  return send(paths.get(http) ?? "/mcp").catch((error: unknown) => {
    if (!BackendError.is(error)) throw error;
    const elsewhere = /redirect to \S*(\/mcp\/?),/.exec(error.message)?.[1];
    if (elsewhere !== undefined && elsewhere !== paths.get(http)) {
      paths.set(http, elsewhere);
      return send(elsewhere);
    }
    if (!/HTTP 421/.test(error.message)) throw error;
    const next = "use 127.0.0.1 or localhost in the backend's url, or a tunnel to it";
    const message = `WanGP's MCP server takes no requests under the name in ${http.baseUrl}; ${next}`;
    throw new BackendError("BACKEND_MISMATCH", message, { cause: error });
  });
}
