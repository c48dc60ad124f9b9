/** Where a request to a backend goes and what it carries, as fetch takes it. */
import { BackendError } from "./errors.ts";
import type { Target } from "./failure.ts";
import type { RequestOptions } from "./http.ts";

/** The body as fetch takes it, and the type it has unless the caller names one. */
export function encode(body: unknown): { readonly body?: BodyInit; readonly contentType?: string } {
  if (body === undefined) return {};
  if (body instanceof FormData || body instanceof URLSearchParams || body instanceof Blob) {
    return { body };
  }
  if (typeof body === "string") return { body, contentType: "text/plain; charset=utf-8" };
  if (body instanceof ArrayBuffer) return { body, contentType: "application/octet-stream" };
  if (ArrayBuffer.isView(body)) {
    // A copy, because a view may lie in shared memory, which no body may.
    const bytes = new Uint8Array(body.byteLength);
    bytes.set(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
    return { body: bytes, contentType: "application/octet-stream" };
  }
  return { body: JSON.stringify(body), contentType: "application/json" };
}

/** Where requests go, and what every one of them carries. */
export interface Base {
  /** Ends without a slash. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Throws a TypeError when `baseUrl` is no http or https URL. */
export function readBase(baseUrl: string, title: string): Base {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`the url of ${title} must start with http:// or https://: ${baseUrl}`);
  }
  const headers: Record<string, string> = {};
  if (url.username !== "" || url.password !== "") {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    // Out of the URL, so that no message can show the password.
    headers.authorization = `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(pair)))}`;
  }
  return { url: `${url.origin}${url.pathname.replace(/\/+$/, "")}`, headers };
}

/** Under the base URL, whatever the path holds: parts of it may come from a request. */
export function resolve(target: Target, path: string, query: RequestOptions["query"]): URL {
  if (!path.startsWith("/")) {
    throw new TypeError(`a path for ${target.title} must start with a slash: ${path}`);
  }
  const [plain = "", search] = path.split("?", 2);
  if (plain.split(/[/\\]/).some((part) => /^(\.|%2e){1,2}$/i.test(part))) {
    throw new BackendError("BACKEND_REJECTED", `the path ${path} holds "." or ".." as a name`);
  }
  const url = new URL(target.baseUrl + plain.replaceAll("#", "%23"));
  const parameters = new URLSearchParams(search);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.append(name, String(value));
  }
  url.search = parameters.toString();
  return url;
}
