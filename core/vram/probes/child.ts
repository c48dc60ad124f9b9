/**
 * Starts the tools: argv arrays, never a shell, each in a process group of its own, so that a
 * script's children end with it and Ctrl-C at the gateway's terminal does not reach them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { messageOf } from "../../log.ts";
import { shown } from "./measured.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** It never ran; `installed` is false where no such program was found. */
  readonly failure?: { readonly installed: boolean; readonly reason: string };
}

export interface Child {
  readonly ended: Promise<ChildEnd>;
  /** The beginning of what it wrote to standard error. */
  errorText(): string;
  /** SIGTERM, then SIGKILL. Settles when it is gone, or when even that did not help. */
  stop(graceMs?: number): Promise<void>;
}

const MAX_ERROR_TEXT = 2_000;
const GRACE_MS = 500;
/** A process that hangs in the driver outlives SIGKILL; nobody waits longer for it. */
const GIVE_UP_MS = 2_000;
/** Time for output that is still in the pipe when the process is gone but a child of it is not. */
const DRAIN_MS = 500;

export function startChild(
  argv: readonly string[],
  env: Environment,
  onText: (text: string) => void,
): Child {
  const [program = "", ...args] = argv;
  let errors = "";
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      env: { ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      windowsHide: true,
    });
  } catch (error) {
    const end = failed(program, error);
    return { ended: Promise.resolve(end), errorText: () => "", stop: async () => {} };
  }
  const decoder = new TextDecoder();
  child.stdout?.on("data", (bytes: Uint8Array) => onText(decoder.decode(bytes, { stream: true })));
  child.stderr?.on("data", (bytes: Uint8Array) => {
    if (errors.length < MAX_ERROR_TEXT) errors += new TextDecoder().decode(bytes);
  });
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once("error", (error) => resolve(failed(program, error)));
    child.once("close", (code, signal) => resolve({ code, signal }));
    child.once("exit", (code, signal) => {
      setTimeout(() => resolve({ code, signal }), DRAIN_MS).unref();
    });
  });
  return {
    ended,
    errorText: () => errors,
    async stop(graceMs = GRACE_MS) {
      if (graceMs > 0) {
        kill(child, "SIGTERM");
        if (await within(ended, graceMs)) return kill(child, "SIGKILL");
      }
      kill(child, "SIGKILL");
      await within(ended, GIVE_UP_MS);
    },
  };
}

/** Why a tool ended, in words for the operator. `output` is what it printed last. */
export function describeEnd(
  argv: readonly string[],
  end: ChildEnd,
  output: string,
): { readonly installed: boolean; readonly reason: string } {
  if (end.failure !== undefined) return end.failure;
  const program = argv.join(" ");
  const how = end.code === null ? `was ended by ${end.signal}` : `ended with code ${end.code}`;
  const said = shown(output, 200);
  return {
    // 127 is how ssh, env and the like say that there is no such program where they looked.
    installed: end.code !== 127,
    reason: `\`${shown(program, 80)}\` ${how}${said === "" ? "" : `: ${said}`}`,
  };
}

function failed(program: string, error: unknown): ChildEnd {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : "";
  const reason =
    code === "ENOENT"
      ? `${program} is not installed (not found on PATH)`
      : `${program} cannot be started: ${messageOf(error)}`;
  return { code: null, signal: null, failure: { installed: code !== "ENOENT", reason } };
}

function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // No such group: it is gone, or the system has no groups. Then the process itself.
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  }
}

/** Whether the promise settled in time. */
async function within(promise: Promise<unknown>, limitMs: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const settled = await Promise.race([promise.then(() => true as const), late]);
  clearTimeout(timer);
  return settled;
}
