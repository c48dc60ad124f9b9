/** A real server in the place of a fake: what is called is noted on our side. */
import type { HttpClient } from "../http.ts";
import type { Fake } from "./fake.ts";

/** Why a rule that needs a fake's help does not apply. */
export const REAL_SERVER = "a real server cannot be steered";

export function realServer(url: string, calls: readonly string[]): Fake {
  return { url, calls, stopped: false, stop: async () => {} };
}

/** The same client; "POST /prompt" goes into `calls` for each request, as a fake notes it. */
export function recorded(http: HttpClient, calls: string[]): HttpClient {
  const note = (method: string, path: string) =>
    void calls.push(`${method} ${path.split("?", 1)[0]}`);
  return {
    baseUrl: http.baseUrl,
    get(path, options) {
      note("GET", path);
      return http.get(path, options);
    },
    post(path, body, options) {
      note("POST", path);
      return http.post(path, body, options);
    },
    fetch(path, options = {}) {
      note(options.method ?? (options.body === undefined ? "GET" : "POST"), path);
      return http.fetch(path, options);
    },
    async socket(path, options) {
      note("GET", path);
      const socket = await http.socket(path, options);
      // What is asked of a server on a socket counts like a request.
      const send: typeof socket.send = (message) => {
        note("SEND", path);
        socket.send(message);
      };
      return {
        send,
        close: () => socket.close(),
        [Symbol.asyncIterator]: () => socket[Symbol.asyncIterator](),
      };
    },
  };
}
