/** The stage of one benchmark: everything put on it (processes, folders) is gone when it ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Program {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Everything it printed so far. */
  readonly output: () => string;
  /** The exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Settles with the first match in what it prints; fails when it exits before. */
  printed(pattern: RegExp, limitMs?: number): Promise<RegExpExecArray>;
  /** Ends it at once and waits for it. */
  kill(): Promise<void>;
}

export interface ProgramOptions {
  /** The CPU it may run on; any when absent. */
  readonly cpu?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Stage {
  /** A fresh folder. On the disk of the temporary folder, or of SWITCHYARD_BENCH_FOLDER. */
  folder(): string;
  start(command: readonly string[], options?: ProgramOptions): Program;
  /** Runs a program to its end; what it printed. Fails unless it exits with 0. */
  run(command: readonly string[], options?: ProgramOptions & { limitMs?: number }): Promise<string>;
  /** Ends every program and removes every folder. */
  clear(): Promise<void>;
}

const RUN_LIMIT_MS = 60_000;
const PRINT_LIMIT_MS = 15_000;

export function benchFolder(): string {
  return process.env.SWITCHYARD_BENCH_FOLDER ?? tmpdir();
}

const open = new Set<Stage>();

function createStage(): Stage {
  const programs = new Set<Program>();
  const folders: string[] = [];

  const stage: Stage = {
    folder() {
      const folder = mkdtempSync(join(benchFolder(), "switchyard-bench-"));
      folders.push(folder);
      return folder;
    },
    start(command, options) {
      const program = launch(command, options);
      programs.add(program);
      void program.exited.then(() => programs.delete(program));
      return program;
    },
    async run(command, { limitMs = RUN_LIMIT_MS, ...options } = {}) {
      const program = stage.start(command, options);
      const timer = setTimeout(() => program.child.kill("SIGKILL"), limitMs);
      const code = await program.exited;
      clearTimeout(timer);
      if (code === 0) return program.output();
      throw new Error(
        `${command.join(" ")} ended with ${code}:\n${program.output().slice(-2_000)}`,
      );
    },
    async clear() {
      await Promise.all([...programs].map((program) => program.kill()));
      for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
    },
  };
  return stage;
}

/** Does something on a stage that is cleared afterwards, come what may. */
export async function onOwnStage<T>(work: (stage: Stage) => Promise<T>): Promise<T> {
  const stage = createStage();
  open.add(stage);
  try {
    return await work(stage);
  } finally {
    await stage.clear();
    open.delete(stage);
  }
}

/** For an interrupt: clears every stage that is in use. */
export async function clearStages(): Promise<void> {
  await Promise.all([...open].map((stage) => stage.clear()));
}

function launch(command: readonly string[], { cpu, env, cwd }: ProgramOptions = {}): Program {
  const pinned = cpu === undefined ? command : ["taskset", "-c", String(cpu), ...command];
  const [file = "", ...args] = pinned;
  const child = spawn(file, args, {
    cwd,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_ENV: "production", ...env },
  });
  let output = "";
  const watchers = new Set<() => void>();
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
    for (const watcher of [...watchers]) watcher();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  let over = false;
  const exited = new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      output += `${error.message}\n`;
      resolve(-1);
    });
    // "close" comes after the last output.
    child.once("close", (code) => resolve(code));
  }).then((code) => {
    over = true;
    for (const watcher of [...watchers]) watcher();
    return code;
  });
  return {
    child,
    pid: child.pid ?? -1,
    output: () => output,
    exited,
    printed: (pattern, limitMs = PRINT_LIMIT_MS) =>
      new Promise((resolve, reject) => {
        const end = (settle: () => void) => {
          clearTimeout(timer);
          watchers.delete(look);
          settle();
        };
        const fail = (why: string) =>
          end(() => reject(new Error(`${command.join(" ")} ${why}:\n${output.slice(-2_000)}`)));
        const timer = setTimeout(() => fail(`did not print ${pattern} in ${limitMs} ms`), limitMs);
        const look = () => {
          const found = pattern.exec(output);
          if (found) end(() => resolve(found));
          else if (over) fail("ended early");
        };
        watchers.add(look);
        look();
      }),
    async kill() {
      if (!over) child.kill("SIGKILL");
      await exited;
    },
  };
}

/** A port of the loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Waits until the condition holds; fails with `what` after the limit. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  { limitMs = 15_000, everyMs = 10 } = {},
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await Bun.sleep(everyMs);
  }
}
