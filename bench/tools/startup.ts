/** Starting the gateway by some command and seeing when it first answers. */
import { readFileSync } from "node:fs";
import { ROOT } from "./gateway.ts";
import { freePort, type Program, type Stage } from "./stage.ts";

export interface Started extends Program {
  readonly tookMs: number;
  readonly url: string;
}

const LIMIT_MS = 20_000;

/** Milliseconds from the spawn to the first 200 of `path`, asked every 2 ms. */
export async function startUntil(
  stage: Stage,
  command: readonly string[],
  path: string,
  environment: (port: number) => Readonly<Record<string, string>>,
): Promise<Started> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const startMs = performance.now();
  const program = stage.start(command, { cwd: ROOT, env: environment(port) });
  for (;;) {
    const ok = await fetch(url + path).then(
      (answer) => answer.ok,
      () => false,
    );
    const tookMs = performance.now() - startMs;
    if (ok) return { ...program, tookMs, url };
    if (tookMs > LIMIT_MS || program.child.exitCode !== null) {
      throw new Error(`${command.join(" ")} did not answer ${path}:\n${program.output()}`);
    }
    await Bun.sleep(2);
  }
}

/** Resident memory in MiB: all of it, and the part that is no file. */
export function residentMiB(pid: number): { readonly all: number; readonly own: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return { all: of("VmRSS") / 1_024, own: of("RssAnon") / 1_024 };
}
