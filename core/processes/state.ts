/** The states of a supervised process and what the rest of the kernel may ask of it. */
import { GatewayError } from "../errors.ts";

export type ProcessState =
  | { readonly kind: "stopped" }
  /** Wall clock, milliseconds. */
  | { readonly kind: "starting"; readonly sinceMs: number }
  | { readonly kind: "ready"; readonly pid?: number; readonly sinceMs: number }
  | { readonly kind: "stopping" }
  | {
      readonly kind: "failed";
      readonly reason: string;
      readonly lastLines: readonly string[];
      /** Wall clock of the next attempt; absent in a crash loop, which a person must end. */
      readonly retryAtMs?: number;
    };

/** Who asks for a start: only an operator's ends a crash loop and skips the back-off. */
export type StartCause = "operator" | "demand";

export interface Supervised {
  readonly backend: string;
  state(): ProcessState;
  /** Every pid that belongs to it now: whose GPU memory is its. */
  pids(): Promise<readonly number[]>;
  /**
   * Settles when it is ready; joins a start under way. Rejects with ProcessError, or with the
   * signal's reason, which ends the wait and not the start.
   */
  start(signal: AbortSignal, cause?: StartCause): Promise<void>;
  /** Settles when no process of it is left; the signal ends the wait and not the stop. */
  stop(signal?: AbortSignal): Promise<void>;
  restart(signal: AbortSignal): Promise<void>;
  /** The end of its log, oldest first; 20 lines unless said. */
  lastLines(count?: number): Promise<readonly string[]>;
}

/** How a process ended, as far as the system tells. */
export interface Exit {
  readonly code?: number;
  readonly signal?: string;
}

export type ProcessFailure =
  /** It ended by itself. */
  | "exited"
  /** It runs, and health did not call it ready in time. */
  | "not_ready"
  /** Another program answers where it should. */
  | "taken"
  /** The program, its folder, systemctl or docker refused. */
  | "not_started"
  /** A stop came while it started, or the gateway is stopping. */
  | "stopped"
  /** It did not end. */
  | "not_stopped"
  | "crash_loop";

/**
 * A process did not do as asked. `message` may go to any client; `lastLines` are the backend's own
 * words, which may name folders of the machine: they are for `gpu:admin` and the log.
 */
export class ProcessError extends GatewayError {
  readonly kind: ProcessFailure;
  readonly lastLines: readonly string[];
  readonly exit?: Exit;

  constructor(
    kind: ProcessFailure,
    message: string,
    more: {
      readonly lastLines?: readonly string[];
      readonly exit?: Exit;
      readonly cause?: unknown;
    } = {},
  ) {
    super(kind === "stopped" ? "SHUTTING_DOWN" : "SERVICE_UNAVAILABLE", message, {
      cause: more.cause,
      details: {
        reason: kind,
        ...(more.exit?.code === undefined ? {} : { exit_code: more.exit.code }),
        ...(more.exit?.signal === undefined ? {} : { exit_signal: more.exit.signal }),
      },
    });
    this.name = "ProcessError";
    this.kind = kind;
    this.lastLines = more.lastLines ?? [];
    this.exit = more.exit;
  }
}

/** "exited with code 3", "was ended by SIGKILL", "ended". */
export function exitInWords(exit: Exit): string {
  if (exit.signal !== undefined) return `was ended by ${exit.signal}`;
  return exit.code === undefined ? "ended" : `exited with code ${exit.code}`;
}
