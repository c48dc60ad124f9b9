/** Reads what strace saw of a server that promises durability: is every 202 behind an fsync? */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { eventually } from "../gateway.ts";

const CALLS = "pwrite64,pwritev,write,writev,sendto,sendmsg,fsync,fdatasync";

/** Whether strace is here and may look at other processes. */
export const canTrace =
  spawnSync("strace", ["-f", "-e", "trace=fsync", "-o", "/dev/null", "true"]).status === 0;

/** Attaches to the process; the returned function detaches. */
export async function traceProcess(pid: number, file: string): Promise<() => Promise<void>> {
  const args = ["-f", "-y", "-s", "8192", "-e", `trace=${CALLS}`, "-o", file, "-p", String(pid)];
  const strace = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = new Promise<void>((resolve) => strace.once("exit", () => resolve()));
  let said = "";
  strace.stderr.on("data", (chunk) => {
    said += chunk;
  });
  await eventually("strace is attached", () => /attached/.test(said) && existsSync(file));
  return async () => {
    strace.kill("SIGINT");
    await exited;
  };
}

export interface Durability {
  /** Answers 202 that were seen, by the job that they name. */
  readonly accepted: readonly string[];
  /** Those with an fsync of the log between the row's write and the answer. */
  readonly durable: readonly string[];
}

/** A call that another thread interrupted stands on two lines; its end counts, so it is joined. */
function callsOf(text: string): string[] {
  const begun = new Map<string, string>();
  return text.split("\n").flatMap((line) => {
    const thread = line.split(" ", 1)[0] ?? "";
    if (line.includes("<unfinished ...>")) {
      begun.set(thread, line.replace("<unfinished ...>", ""));
      return [];
    }
    const end = / resumed>(.*)$/.exec(line)?.[1];
    return end === undefined ? [line] : [`${begun.get(thread) ?? ""}${end}`];
  });
}

export function durabilityIn(file: string): Durability {
  const calls = callsOf(readFileSync(file, "utf8"));
  const isWrite = (call: string) => /\bpwrite(64|v)\(\d+<[^>]*-wal>/.test(call);
  const isSync = (call: string) => /\bf(data)?sync\(\d+<[^>]*-wal> ?\) += 0/.test(call);
  const accepted: string[] = [];
  const durable: string[] = [];
  for (const [answeredAt, call] of calls.entries()) {
    if (!call.includes("HTTP/1.1 202")) continue;
    for (const [, id = ""] of call.matchAll(/job_id\\":\\"([0-9a-f-]{36})/g)) {
      accepted.push(id);
      const writtenAt = calls.findIndex((other) => isWrite(other) && other.includes(id));
      const between = calls.slice(writtenAt, answeredAt);
      if (writtenAt >= 0 && writtenAt < answeredAt && between.some(isSync)) durable.push(id);
    }
  }
  return { accepted, durable };
}
