/**
 * The error catalogue: every code that leaves the gateway, with its HTTP status, whether trying the
 * same thing again can help, and what to do next. `docs/api.md` lists the same codes (a test
 * compares).
 */
import type { BackendErrorCode } from "./sdk/errors.ts";

interface CatalogueEntry {
  /**
   * HTTP status of an answer; a code that only stands in a job's `error` names its sync facade's.
   */
  readonly status: number;
  readonly retryable: boolean;
  readonly message: string;
  readonly hint: string;
}

const entry = (
  status: number,
  retryable: boolean,
  message: string,
  hint: string,
): CatalogueEntry => ({ status, retryable, message, hint });

export const CATALOGUE = {
  BAD_REQUEST: entry(400, false, "The request could not be read", "Send well-formed JSON."),
  UNAUTHORIZED: entry(401, false, "No valid API key", "Send a key in the X-API-Key header."),
  BOOTSTRAP_CLOSED: entry(
    401,
    false,
    "The first key cannot be created this way",
    "Run `npm run switchyard -- keys create --name <name>` on the gateway's machine.",
  ),
  FORBIDDEN_SCOPE: entry(403, false, "The key lacks a scope", "Use a key that has the scope."),
  HOST_NOT_ALLOWED: entry(
    403,
    false,
    "The Host header is not one of this gateway's names",
    "Add the name to `http.allowed_hosts` in gateway.yaml.",
  ),
  ORIGIN_NOT_ALLOWED: entry(
    403,
    false,
    "Pages of this origin may not connect here",
    "Add the origin to `http.allowed_origins` in gateway.yaml.",
  ),
  NOT_FOUND: entry(404, false, "Not found", "Check the path and the id; see /swagger."),
  METHOD_NOT_ALLOWED: entry(405, false, "Method not allowed", "See the Allow header."),
  JOB_ALREADY_FINISHED: entry(409, false, "The job has already ended", "Read its final state."),
  JOB_NOT_FINISHED: entry(409, true, "The job has not ended yet", "Cancel it or wait for its end."),
  MODEL_IN_USE: entry(409, true, "The model computes for a job", "Wait for the job, or cancel it."),
  NOT_SUPERVISED: entry(
    409,
    false,
    "The gateway does not run this backend's process",
    "Give the backend `process` in gateway.yaml, or start and stop it yourself.",
  ),
  PAYLOAD_TOO_LARGE: entry(413, false, "The body is too large", "Send a smaller body."),
  UNSUPPORTED_MEDIA_TYPE: entry(
    415,
    false,
    "The body's type is not supported",
    "Send `Content-Type: application/json` without Content-Encoding.",
  ),
  RANGE_NOT_SATISFIABLE: entry(416, false, "No such range", "Ask within the artifact's size."),
  VALIDATION_FAILED: entry(422, false, "The request is not valid", "See error.details.errors."),
  IDEMPOTENCY_MISMATCH: entry(
    422,
    false,
    "This Idempotency-Key was used for another request",
    "Use a new key for a new request.",
  ),
  INFEASIBLE_VRAM: entry(
    422,
    false,
    "The request can never fit in the device's memory",
    "Use a smaller model or size, or a larger device.",
  ),
  RATE_LIMITED: entry(429, true, "Too many requests", "Wait for Retry-After."),
  QUOTA_EXCEEDED: entry(
    429,
    true,
    "The key has reached its limit of unfinished jobs",
    "Wait for a job to end, or cancel one.",
  ),
  INTERNAL: entry(500, false, "Something failed inside the gateway", "See the gateway's log."),
  SERVICE_UNAVAILABLE: entry(503, true, "The backend is not responding", "Check GET /backends."),
  QUEUE_FULL: entry(503, true, "The queue is full", "Wait for Retry-After."),
  STORAGE_FULL: entry(503, true, "The disk is full", "Free space on the data folder's disk."),
  STORAGE_FAILED: entry(503, true, "The store failed", "See the gateway's log."),
  SHUTTING_DOWN: entry(503, true, "The gateway is stopping", "Try again after Retry-After."),
  QUEUE_TIMEOUT: entry(504, true, "The job did not start in time", "Raise `start_by`."),
  ATTEMPT_TIMEOUT: entry(504, true, "The job ran too long", "Raise `timeout_ms` or ask for less."),
  STALLED: entry(504, true, "The backend made no progress", "Check the backend's own log."),
  BACKEND_UNREACHABLE: entry(503, true, "The backend could not be reached", "Is it running?"),
  BACKEND_BUSY: entry(503, true, "The backend is busy", "Try again later."),
  BACKEND_LOST: entry(503, true, "The backend lost the job", "Check the backend's own log."),
  BACKEND_UNAUTHORIZED: entry(
    503,
    false,
    "The backend refused the gateway's credentials",
    "The operator must set them in gateway.yaml.",
  ),
  BACKEND_MISMATCH: entry(
    503,
    false,
    "Another program, or another version, answers there",
    "The operator must check the backend's url.",
  ),
  BACKEND_FAILED: entry(502, true, "The backend failed", "Check the backend's own log."),
  BACKEND_BAD_OUTPUT: entry(
    502,
    true,
    "The backend's answer was cut or malformed",
    "Check the backend's own log.",
  ),
  RECLAIM_FAILED: entry(
    502,
    true,
    "A model was told to leave, but its memory did not come back",
    "See error.details.attempts; restart the backend.",
  ),
  BACKEND_REJECTED: entry(422, false, "The backend refused the input", "Change the input."),
  OUT_OF_MEMORY: entry(503, true, "GPU memory ran out", "Ask for a smaller size or model."),
  POISON_JOB: entry(
    500,
    false,
    "The gateway died three times while it ran this job",
    "Read the gateway's log before sending it again.",
  ),
  CANCELLED: entry(409, false, "The job was cancelled", "Send it again if it is still wanted."),
} as const satisfies Record<string, CatalogueEntry> & Record<BackendErrorCode, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;

export interface GatewayErrorOptions extends ErrorOptions {
  /** Extra members of `error.details`: JSON, no secret, no stack. */
  readonly details?: Record<string, unknown>;
  /** Milliseconds; becomes an integer `Retry-After` in seconds, rounded up. */
  readonly retryAfterMs?: number;
  /** Extra response headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** An error meant for a client. `message` says what failed, with which value, and what to do. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly details?: Record<string, unknown>;
  readonly retryAfterMs?: number;
  readonly headers?: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message?: string, options: GatewayErrorOptions = {}) {
    super(message ?? CATALOGUE[code].message, options);
    this.name = "GatewayError";
    this.code = code;
    this.details = options.details;
    this.retryAfterMs = options.retryAfterMs;
    this.headers = options.headers;
  }

  get status(): number {
    return CATALOGUE[this.code].status;
  }
}
