/**
 * The one outbound HTTP client. Every call is bounded in time and size, sends no header of a
 * caller, follows no redirect (a redirect would forward `X-API-Key`, see docs/security.md), and
 * fails with a `BackendError` of the class that decides about retries.
 */
import type { Static, TSchema, TUnknown } from "@sinclair/typebox";

export interface RequestOptions {
  readonly signal?: AbortSignal;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Until the answer's headers arrive; 30,000 unless said. A model load may need minutes. */
  readonly timeoutMs?: number;
  /**
   * Longest silence between two pieces of the body; 60,000 unless said. A JSON answer must also be
   * complete within both times together. On a socket: the longest silence, none unless said.
   */
  readonly idleTimeoutMs?: number;
}

export interface JsonOptions<Schema extends TSchema> extends RequestOptions {
  /** Checked against the answer; another shape is BACKEND_BAD_OUTPUT. */
  readonly as?: Schema;
  /** Largest answer in bytes; 8 MiB unless said. */
  readonly maxBytes?: number;
  /** Of `post`, for servers that want another word for it. */
  readonly method?: "PUT" | "PATCH";
}

export interface RawOptions extends RequestOptions {
  readonly method?: string;
  /** A FormData goes as multipart, a string or bytes as they are, anything else as JSON. */
  readonly body?: unknown;
}

export interface HttpClient {
  /** Ends without a slash. */
  readonly baseUrl: string;
  get<Schema extends TSchema = TUnknown>(
    path: string,
    options?: JsonOptions<Schema>,
  ): Promise<Static<Schema>>;
  post<Schema extends TSchema = TUnknown>(
    path: string,
    body?: unknown,
    options?: JsonOptions<Schema>,
  ): Promise<Static<Schema>>;
  /** The answer of a 2xx, its body still to be read: downloads, streams. Other statuses throw. */
  fetch(path: string, options?: RawOptions): Promise<Response>;
  /** A WebSocket to the backend, open when the promise settles. */
  socket(path: string, options?: RequestOptions): Promise<BackendSocket>;
}

/**
 * A WebSocket as a stream of messages; the iteration ends when the socket closes. A reader that is
 * 1,024 messages or 32 MiB behind loses the oldest ones: a socket shows progress, asking tells the
 * truth.
 */
export interface BackendSocket extends AsyncIterable<string | Uint8Array> {
  send(message: string | Uint8Array): void;
  /** Settles when the closing handshake is over. */
  close(): Promise<void>;
}
