/**
 * Runs a tool to its end (systemctl, docker, ps, nvidia-smi), on either runtime, with a time limit
 * and a cap on what it prints. The only file that names zx; it is loaded at the first command.
 */
import { type SpawnOptions, spawn } from "node:child_process";

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** The command's whole environment; the gateway's own unless said. */
  readonly env?: Readonly<Record<string, string>>;
  /** The most that is kept of both outputs together, in bytes; more ends the command. */
  readonly maxOutputBytes?: number;
}

export interface CommandResult {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command gave no result; `kind` says why and the message what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly kind: "missing" | "timeout" | "too_much_output" | "failed";

  constructor(kind: CommandError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const KILL_AFTER_MS = 1_000;
/** What a POSIX shell answers when there is no such program, or when it is not executable. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/**
 * Settles with the exit code, whatever it is. Rejects with CommandError when the program does not
 * exist, takes too long or prints too much, and with the signal's reason when that is aborted.
 */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const { timeoutMs, signal, maxOutputBytes = MAX_OUTPUT_BYTES } = options;
  const [tool = ""] = argv;
  refuseOdd(argv);
  signal?.throwIfAborted();
  const { $ } = await import("zx/core");
  signal?.throwIfAborted();

  const failed = Promise.withResolvers<never>();
  const running = $({
    // Not bash, which small images lack, so not zx's quoting either: $'…' is bash's alone.
    shell: "/bin/sh",
    quote: quoteForShell,
    // The shell becomes the command, so that a signal reaches the command itself.
    prefix: "exec ",
    postfix: "",
    env: { ...(options.env ?? process.env), LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
    nothrow: true,
    quiet: true,
    verbose: false,
    // Its own group. zx's own `detached` spawns with `shell`, which Deno deprecates (DEP0190).
    spawn: ((line: string, _: readonly string[], given: SpawnOptions) =>
      spawn("/bin/sh", ["-c", line], { ...given, shell: false, detached: true })) as typeof spawn,
    detached: false,
    preferLocal: false,
  })`${argv}`;
  const giveUp = (reason: unknown): void => {
    failed.reject(reason);
    // The whole group: what the command started would print on, into the gateway's memory.
    killGroup(running.child?.pid, "SIGTERM");
    setTimeout(killGroup, KILL_AFTER_MS, running.child?.pid, "SIGKILL").unref();
  };
  const timer = setTimeout(() => {
    const text = `\`${argv.join(" ")}\` gave no answer in ${timeoutMs} ms. Try it by hand.`;
    giveUp(new CommandError("timeout", text));
  }, timeoutMs);
  const onAbort = (): void => giveUp(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  let bytes = 0;
  const count = (chunk: Uint8Array): void => {
    bytes += chunk.byteLength;
    if (bytes <= maxOutputBytes) return;
    const text = `\`${tool}\` printed more than ${maxOutputBytes} bytes. Try it by hand.`;
    giveUp(new CommandError("too_much_output", text));
  };
  running.stdout?.on("data", count);
  running.stderr?.on("data", count);
  try {
    // Raced, because zx waits for the end of the pipes, which a grandchild may hold open for ever.
    const { exitCode, stdout, stderr, cause } = await Promise.race([running, failed.promise]);
    if (exitCode === NOT_FOUND || exitCode === NOT_EXECUTABLE) refuseMissing(tool, stderr);
    if (exitCode === null && cause) throw cause;
    return { code: exitCode ?? -1, stdout, stderr };
  } catch (error) {
    if (error instanceof CommandError || error === signal?.reason) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError("failed", `\`${tool}\` could not be run: ${reason}`, { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    // Nobody may be left to hear of a late end.
    running.catch(() => undefined);
  }
}

function killGroup(pid: number | undefined, signal: "SIGTERM" | "SIGKILL"): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

/** Single quotes hold every byte but themselves in any POSIX shell. */
function quoteForShell(argument: string): string {
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}

function refuseOdd(argv: readonly string[]): void {
  const [tool = ""] = argv;
  if (tool === "" || tool.startsWith("-")) {
    throw new TypeError(`a command cannot begin with "${tool}": name a program`);
  }
  const odd = argv.find((argument) => argument.includes("\0"));
  if (odd !== undefined) throw new TypeError(`an argument of \`${tool}\` holds a NUL byte`);
}

/** The code alone may be the tool's own; the shell also says that it did not find the program. */
function refuseMissing(tool: string, stderr: string): void {
  if (!/not found|no such file|permission denied/i.test(stderr)) return;
  const text = `\`${tool}\` could not be run: it is not installed, or not on the gateway's PATH.`;
  throw new CommandError("missing", text);
}
