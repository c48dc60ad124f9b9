/** A server of one answer for the tests of the HTTP client. */
import { BackendError } from "switchyard/sdk";
import { createHttpClient, type HttpClientOptions } from "../../../core/sdk/http-client.ts";

const stops: (() => Promise<void>)[] = [];
/** For `afterEach`. */
export async function stopServers(): Promise<void> {
  for (const stop of stops.splice(0)) await stop();
}

/** A server with this answer, what it saw, and clients for it. */
export function serve(answer: (request: Request) => Response | Promise<Response>) {
  const seen: { method: string; url: string; headers: Headers; body: string }[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { method, url, headers } = request;
      seen.push({ method, url, headers, body: await request.clone().text() });
      return answer(request);
    },
  });
  stops.push(() => server.stop(true));
  const baseUrl = `http://127.0.0.1:${server.port}`;
  const client = (options: Partial<HttpClientOptions> = {}) =>
    createHttpClient({ baseUrl, title: "ComfyUI", ...options });
  return { baseUrl, seen, client, http: client() };
}

/** What the work fails with; throws when it does not, or not with a BackendError. */
export async function failure(work: Promise<unknown>): Promise<BackendError> {
  const error = await work.then(
    (value) => new Error(`expected a failure, got ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  if (!BackendError.is(error)) throw error;
  return error;
}
