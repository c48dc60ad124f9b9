/**
 * Where a server's own file is, by what the server says. Only the path of it counts: a host in it
 * may be wrong behind a proxy, or somebody else's.
 */
import { BackendError } from "../errors.ts";

/** A path for the HTTP client, below the base URL; BACKEND_BAD_OUTPUT when `text` is none. */
export function ownPath(text: string, baseUrl: string, title: string): string {
  const base = new URL(`${baseUrl}/`);
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new BackendError(
      "BACKEND_BAD_OUTPUT",
      `${title} names a file by something else than a path`,
    );
  }
  const prefix = base.pathname.replace(/\/$/, "");
  const below = url.pathname.startsWith(`${prefix}/`);
  const path = below ? url.pathname.slice(prefix.length) : url.pathname;
  return `${path}${url.search}`;
}
