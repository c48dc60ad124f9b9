/**
 * Stands between the gateway and a program that works on a job: it outlives the gateway and writes
 * down how the program ended, which nobody but its parent can know.
 *
 * Arguments: the file for the end, the folder to run in, the program, its arguments. It is a
 * process of its own and imports nothing of ours.
 */
import { spawn } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";

const [endFile = "", cwd = "", program = "", ...args] = process.argv.slice(2);

// A signal to the group is for the program. Who stays here can still tell how it ended.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});

function finish(end: { exitCode?: number; signal?: string; error?: string }): void {
  writeFileSync(`${endFile}.new`, JSON.stringify(end), { mode: 0o600 });
  renameSync(`${endFile}.new`, endFile);
  process.exit(0);
}

try {
  const child = spawn(program, args, { cwd, stdio: ["ignore", "inherit", "inherit"] });
  child.once("error", (error: NodeJS.ErrnoException) => finish({ error: error.code ?? "unknown" }));
  child.once("exit", (code, signal) =>
    finish(code === null ? { signal: signal ?? "unknown" } : { exitCode: code }),
  );
} catch (error) {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  finish({ error: code });
}
