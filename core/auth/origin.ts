/**
 * Which web pages may open a WebSocket. CORS does not cover WebSockets, so without this check any
 * page in the operator's browser could use a key that the browser holds.
 */
import { GatewayError } from "../errors.ts";

/**
 * True without an Origin header (not a browser), for the gateway's own pages, and for listed ones.
 */
export function isOriginAllowed(request: Request, allowedOrigins: readonly string[]): boolean {
  const origin = request.headers.get("origin");
  if (origin === null || allowedOrigins.includes(origin)) return true;
  const host = request.headers.get("host") ?? hostOf(request.url);
  return host !== undefined && hostOf(origin) === host.toLowerCase();
}

export function refuseForeignOrigin(request: Request, allowedOrigins: readonly string[]): void {
  if (isOriginAllowed(request, allowedOrigins)) return;
  throw new GatewayError(
    "ORIGIN_NOT_ALLOWED",
    `Pages of the origin "${request.headers.get("origin")?.slice(0, 200)}" may not connect here`,
  );
}

function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}
