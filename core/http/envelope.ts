/** The one shape of every answer: `{success, data, error, timestamp}`. */
import { CATALOGUE, type ErrorCode, GatewayError } from "../errors.ts";
import { BackendError } from "../sdk/errors.ts";

/** On every answer. The API serves no page, so nothing may be loaded, framed or guessed. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

type Headers = Readonly<Record<string, string>>;

export function success(data: unknown, status: number, headers: Headers): Response {
  const json = JSON.stringify(data ?? null);
  return answer(`{"success":true,"data":${json},"error":null,`, status, headers);
}

export function failure(error: GatewayError, requestId: string, headers: Headers): Response {
  const { code, message, details, retryAfterMs } = error;
  const { retryable, hint } = CATALOGUE[code];
  const body = {
    code,
    message,
    details: { hint, ...details, retryable, request_id: requestId },
  };
  return answer(`{"success":false,"data":null,"error":${JSON.stringify(body)},`, error.status, {
    ...headers,
    ...error.headers,
    ...(retryAfterMs === undefined
      ? {}
      : { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) }),
  });
}

/** What was thrown, as an error for the client; undefined when it is the gateway's own fault. */
export function clientError(error: unknown): GatewayError | undefined {
  if (error instanceof GatewayError) return error;
  if (!BackendError.is(error)) return undefined;
  const { code, message, details, retryAfterMs } = error;
  const known: ErrorCode = Object.hasOwn(CATALOGUE, code) ? code : "BACKEND_FAILED";
  return new GatewayError(known, message, { details, retryAfterMs });
}

function answer(start: string, status: number, headers: Headers): Response {
  return new Response(`${start}"timestamp":"${new Date().toISOString()}"}`, {
    status,
    headers: {
      ...SECURITY_HEADERS,
      "content-type": "application/json; charset=utf-8",
      ...headers,
    },
  });
}
