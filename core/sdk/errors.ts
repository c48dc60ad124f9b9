/** The errors that a plugin raises; the kernel owns their status, retries and wording. */

export const BACKEND_ERROR_CODES = [
  /** Refused or reset before any byte of the answer. */
  "BACKEND_UNREACHABLE",
  /** Asked to come back later (429, 503, its own queue is full). */
  "BACKEND_BUSY",
  /** The stream broke, the server restarted, or its process died while it worked. */
  "BACKEND_LOST",
  /** It refused our credentials. */
  "BACKEND_UNAUTHORIZED",
  /** Another program answers there, or an endpoint or parameter is missing. */
  "BACKEND_MISMATCH",
  /** It says that it failed. */
  "BACKEND_FAILED",
  /** Cut body, bad JSON, empty or wrong file. */
  "BACKEND_BAD_OUTPUT",
  /** It refused this input; the same request will be refused again. */
  "BACKEND_REJECTED",
  /** GPU memory. */
  "OUT_OF_MEMORY",
  /** No answer and no progress within the time allowed. */
  "STALLED",
] as const;

export type BackendErrorCode = (typeof BACKEND_ERROR_CODES)[number];

export interface BackendErrorOptions extends ErrorOptions {
  /** Milliseconds that the backend asked us to wait. */
  readonly retryAfterMs?: number;
  /** JSON for the client, for example the node errors of a workflow. */
  readonly details?: Record<string, unknown>;
}

const marker = Symbol.for("switchyard.backend-error");

export class BackendError extends Error {
  readonly [marker] = true;
  readonly code: BackendErrorCode;
  readonly retryAfterMs?: number;
  readonly details?: Record<string, unknown>;

  constructor(code: BackendErrorCode, message: string, options: BackendErrorOptions = {}) {
    super(message, options);
    this.name = "BackendError";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
  }

  /** Works across copies of this module, where `instanceof` would not. */
  static is(error: unknown): error is BackendError {
    return typeof error === "object" && error !== null && marker in error;
  }
}
