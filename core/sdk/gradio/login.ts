/**
 * A Gradio program started with `auth=`: answers 401 until one has logged in with a form, and knows
 * the client by a cookie from then on.
 */
import { BackendError } from "../errors.ts";
import type { HttpClient, RawOptions, RequestOptions } from "../http.ts";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** What a backend's login gave; empty before the first one. One for the backend's life. */
export interface CookieJar {
  cookie: string;
}

const SAFE_COOKIE = /^[\w-]+=[\w.~+/=-]+$/;

/** The same client with the login's cookie; logs in when the server says 401, and asks again. */
export function withLogin(
  http: HttpClient,
  title: string,
  credentials: Credentials | undefined,
  jar: CookieJar,
): HttpClient {
  const signed = <T extends RequestOptions>(options: T | undefined): T & RequestOptions => {
    const headers = jar.cookie === "" ? {} : { cookie: jar.cookie };
    return { ...(options as T), headers: { ...options?.headers, ...headers } };
  };

  async function twice<T>(signal: AbortSignal | undefined, ask: () => Promise<T>): Promise<T> {
    const used = jar.cookie;
    try {
      return await ask();
    } catch (error) {
      if (!isUnauthorized(error)) throw error;
      if (credentials === undefined) throw notLoggedIn(http, title);
      // Another call may have logged in meanwhile.
      if (jar.cookie === used) jar.cookie = await logIn(http, title, credentials, signal);
      return await ask();
    }
  }

  return {
    ...http,
    get: (path, options) => twice(options?.signal, () => http.get(path, signed(options))),
    post: (path, body, options) =>
      twice(options?.signal, () => http.post(path, body, signed(options))),
    fetch: (path, options) => twice(options?.signal, () => http.fetch(path, signed(options))),
  };
}

async function logIn(
  http: HttpClient,
  title: string,
  { username, password }: Credentials,
  signal: AbortSignal | undefined,
): Promise<string> {
  const body = new URLSearchParams({ username, password });
  const options: RawOptions = {
    method: "POST",
    body,
    timeoutMs: 10_000,
    ...(signal && { signal }),
  };
  const response = await http.fetch("/login", options).catch((error: unknown) => {
    // A wrong password is a 400 with a text that says so.
    if (!BackendError.is(error) || error.code !== "BACKEND_REJECTED") throw error;
    throw refused(http, title);
  });
  await response.body?.cancel();
  const isPlain = http.baseUrl.startsWith("http:");
  const cookies = response.headers
    .getSetCookie()
    .filter((line) => !isPlain || !/;\s*secure\b/i.test(line))
    .map((line) => line.split(";")[0]?.trim() ?? "")
    .filter((pair) => pair.startsWith("access-token") && SAFE_COOKIE.test(pair));
  if (cookies.length === 0) throw refused(http, title);
  return cookies.join("; ");
}

function isUnauthorized(error: unknown): boolean {
  return BackendError.is(error) && error.code === "BACKEND_UNAUTHORIZED";
}

function notLoggedIn({ baseUrl }: HttpClient, title: string): BackendError {
  const what = `${title} at ${baseUrl} wants a login`;
  const advice = "set the username and password that it was started with";
  return new BackendError("BACKEND_UNAUTHORIZED", `${what}; ${advice}`);
}

function refused({ baseUrl }: HttpClient, title: string): BackendError {
  const what = `${title} at ${baseUrl} refused the login`;
  return new BackendError("BACKEND_UNAUTHORIZED", `${what}; check its username and password`);
}
