/**
 * Where a request may carry its credential. HTTP, SSE and WebSocket all come through this one
 * function, so that no way in has rules of its own.
 */

export interface Credential {
  readonly kind: "key" | "ticket";
  readonly text: string;
}

/** The WebSocket subprotocol the gateway speaks; the only one it ever selects. */
export const SUBPROTOCOL = "sy.v1";
const KEY_SUBPROTOCOL = "sy.key.";

/** In this order: X-API-Key, Authorization: Bearer, `?ticket=` where allowed, subprotocol. */
export function credential(request: Request, allowTicket = false): Credential | undefined {
  const key = request.headers.get("x-api-key") || bearer(request.headers.get("authorization"));
  if (key) return { kind: "key", text: key };
  const ticket = allowTicket ? ticketIn(request.url) : undefined;
  if (ticket) return { kind: "ticket", text: ticket };
  const offered = offeredSubprotocols(request);
  if (!offered.includes(SUBPROTOCOL)) return undefined;
  // Browsers cannot set headers on a WebSocket, but they can offer a second subprotocol.
  const carrier = offered.find((name) => name.startsWith(KEY_SUBPROTOCOL));
  return carrier ? { kind: "key", text: carrier.slice(KEY_SUBPROTOCOL.length) } : undefined;
}

export function isUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** What the client of a WebSocket offers to speak; nothing for any other request. */
export function offeredSubprotocols(request: Request): readonly string[] {
  if (!isUpgrade(request)) return [];
  const offered = request.headers.get("sec-websocket-protocol");
  return offered ? offered.split(",").map((name) => name.trim()) : [];
}

function bearer(authorization: string | null): string | undefined {
  if (authorization?.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  return authorization.slice(7).trim();
}

function ticketIn(url: string): string | undefined {
  const query = url.indexOf("?");
  if (query < 0) return undefined;
  return new URLSearchParams(url.slice(query + 1)).get("ticket") ?? undefined;
}
