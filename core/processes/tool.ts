/** systemctl, docker and journalctl: one way to call them, and to say what they refused. */
import { CommandError, type CommandResult, runCommand } from "../runtime/mod.ts";
import { lastOf } from "./log-file.ts";
import type { Records } from "./record.ts";
import type { Run } from "./settings.ts";
import { ProcessError, type ProcessFailure } from "./state.ts";

export type ToolRun = Exclude<Run, { kind: "command" }>;

export interface ToolDriverOptions {
  readonly backend: string;
  readonly run: ToolRun;
  readonly readyTimeoutMs: number;
  readonly stopTimeoutMs: number;
  readonly records: Records;
}

const LOOK_TIMEOUT_MS = 10_000;

/** Rejects with ProcessError when the tool is missing, hangs or ends with an error. */
export async function runTool(
  backend: string,
  kind: ProcessFailure,
  argv: readonly string[],
  timeoutMs: number = LOOK_TIMEOUT_MS,
  signal?: AbortSignal,
): Promise<CommandResult> {
  const result = await runCommand(argv, { timeoutMs, signal }).catch((error: unknown) => {
    if (!(error instanceof CommandError)) throw error;
    throw new ProcessError(kind, `${backend}: ${error.message}`, { cause: error });
  });
  if (result.code === 0) return result;
  const [said = `it ended with code ${result.code}`] = lastOf(result.stderr, 1);
  const text = `${backend}: \`${argv.join(" ")}\` failed: ${said} Try it by hand as the gateway's user.`;
  throw new ProcessError(kind, text, { exit: { code: result.code } });
}

/** For logs: their absence is no reason to fail. */
export async function linesOf(argv: readonly string[], count: number): Promise<string[]> {
  try {
    const { stdout, stderr } = await runCommand(argv, { timeoutMs: LOOK_TIMEOUT_MS });
    return lastOf(`${stdout}\n${stderr}`, count);
  } catch {
    return [];
  }
}
