#!/usr/bin/env node
/**
 * The `switchyard` command, and what `npm start` and `npm test` call. Plain JavaScript for Node,
 * because it runs before there is a Bun: it puts the pinned runtime and packages in place and hands
 * over to it. See USAGE for the words.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { InstallError, installPackages, ROOT, runtimePath } from "./runtime/install.mjs";

const USAGE = `node scripts/launch.mjs start [options]        run the gateway
node scripts/launch.mjs script <name> [args]   run scripts/<name>.ts
node scripts/launch.mjs path bun|deno          print where the pinned runtime is
node scripts/launch.mjs <words>                the switchyard command, such as: keys list
`;

const PARENT_CHECK_MS = 500;

/** POSIX convention for a process that a signal ended. */
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

main(process.argv.slice(2));

function main(words) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) stop(`Switchyard needs Node 20 or newer; this is Node ${process.versions.node}.`);
  try {
    dispatch(words);
  } catch (error) {
    if (!(error instanceof InstallError)) throw error;
    stop(error.message);
  }
}

function dispatch([word, ...rest]) {
  switch (word) {
    case "path":
      if (rest[0] !== "bun" && rest[0] !== "deno") stop(USAGE);
      process.stdout.write(`${runtimePath(rest[0])}\n`);
      return;
    case "script": {
      const [name, ...args] = rest;
      const file = `scripts/${name}.ts`;
      if (!/^[a-z-]+$/.test(name ?? "")) stop(USAGE);
      if (!existsSync(join(ROOT, file))) stop(`There is no ${file}.`);
      return run([file, ...args], { production: false });
    }
    case "start":
      return run(["core/main.ts", ...rest], { production: true });
    default:
      return run(["core/main.ts", ...(word === undefined ? ["help"] : [word, ...rest])], {
        production: true,
      });
  }
}

/** Runs Bun with these arguments in the repository's root and ends as it ends. */
function run(args, { production }) {
  const bun = runtimePath("bun");
  installPackages(bun, { production });
  const env = production ? { NODE_ENV: "production", ...process.env } : process.env;
  const child = spawn(bun, args, { cwd: ROOT, stdio: "inherit", env });
  forwardSignals(child);
  child.on("error", (error) => stop(`Could not run ${bun}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (SIGNAL_NUMBERS[signal] ?? 0));
  });
}

/**
 * The gateway takes a second SIGINT or SIGTERM as "exit at once", so a person's one wish must reach
 * it once. On a terminal Ctrl-C goes to the whole foreground group, and npm passes its own on as
 * well. A SIGTERM to npm ends only the shell between npm and this file, so the loss of that parent
 * counts as one.
 */
function forwardSignals(child) {
  const terminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  let terminated = false;
  const terminate = () => {
    terminated = true;
    child.kill("SIGTERM");
  };
  process.on("SIGINT", () => {
    if (!terminal) child.kill("SIGINT");
  });
  process.on("SIGTERM", terminate);
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent && !terminated) terminate();
  }, PARENT_CHECK_MS);
}

function stop(message) {
  process.stderr.write(`${message.trimEnd()}\n`);
  process.exit(1);
}
