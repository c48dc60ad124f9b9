/**
 * The first key: why a request without a key may not create it. Whoever can open a loopback
 * connection without a browser or a proxy in between is on the machine, soon after the operator
 * started it.
 */

export interface BootstrapSettings {
  /** Milliseconds after the start; 0 closes the door. */
  readonly bootstrapWindowMs: number;
  /** A proxy on this machine makes every peer look local, so any entry closes the door. */
  readonly trustedProxies: readonly string[];
  readonly hasAdminKeyFile: boolean;
}

const LOOPBACK = /^(?:::ffff:)?127(?:\.\d{1,3}){3}$|^::1$/i;
const PROXY_HEADERS = ["forwarded", "via", "x-real-ip"];

/** Whether a start can still offer the bootstrap at all, whoever asks. */
export function isBootstrapConfigured(settings: BootstrapSettings): boolean {
  return (
    settings.bootstrapWindowMs > 0 &&
    settings.trustedProxies.length === 0 &&
    !settings.hasAdminKeyFile
  );
}

/** Why this request cannot create the first key; undefined when it may try. */
export function bootstrapRefusal(
  request: Request,
  peer: string,
  runningForMs: number,
  settings: BootstrapSettings,
): string | undefined {
  if (settings.hasAdminKeyFile) return "SWITCHYARD_ADMIN_KEY_FILE is set: use that key";
  if (settings.trustedProxies.length > 0) return "trusted proxies are configured";
  if (!LOOPBACK.test(peer)) return "only the gateway's own machine may do it";
  const { headers } = request;
  for (const name of headers.keys()) {
    if (name.startsWith("x-forwarded-") || PROXY_HEADERS.includes(name)) {
      return `the request came through a proxy (it has the header ${name})`;
    }
  }
  if (headers.has("origin")) return "a web page sent the request (it has an Origin header)";
  if (!/^application\/json(?:\s*;|$)/i.test(headers.get("content-type") ?? "")) {
    return "only JSON is accepted (Content-Type: application/json)";
  }
  if (runningForMs > settings.bootstrapWindowMs) {
    const minutes = Math.round(settings.bootstrapWindowMs / 6_000) / 10;
    return `the ${minutes} minutes after the start have passed; restart the gateway`;
  }
  return undefined;
}
