/** Values that would reach another host or another file, if anybody took them for that. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { AnyPlugin } from "switchyard/sdk";
import type { Fake } from "switchyard/sdk/testing";
import { eventually } from "../gateway.ts";
import { base64 } from "./uploads.ts";

/** In every value, so that one look finds what came of any of them. */
export const MARK = "canary5e07";
export const SECRET = "the canary sings at midnight";
const ROOT = resolve(import.meta.dir, "../..");

export interface Canary {
  readonly port: number;
  /** A folder that nobody may read from or write to. */
  readonly folder: string;
  readonly visits: readonly string[];
  stop(): Promise<void>;
}

export function startCanary(folder: string): Canary {
  const visits: string[] = [];
  const own = join(folder, MARK);
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "secret.txt"), SECRET);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      visits.push(`${request.method} ${request.url}`);
      return new Response(SECRET);
    },
  });
  return { port: server.port ?? 0, folder: own, visits, stop: () => server.stop(true) };
}

/** Addresses and paths, in the disguises of docs/security.md. */
export function hostileTexts({ port, folder }: Canary): string[] {
  const file = join(folder, "secret.txt");
  const hosts = [
    "127.0.0.1",
    "localhost",
    "localhost.",
    "2130706433",
    "0x7f000001",
    "127.1",
    "[::ffff:127.0.0.1]",
  ];
  return [
    ...hosts.map((host) => `http://${host}:${port}/${MARK}.png`),
    `http://user:pass@127.0.0.1:${port}/${MARK}`,
    `//127.0.0.1:${port}/${MARK}`,
    `gopher://127.0.0.1:${port}/${MARK}`,
    `file://${file}`,
    file,
    `../../../../../../../../../..${file}`,
    `..%2f..%2f..%2f..%2f..%2f..%2f${MARK}`,
    `..\\..\\..\\${MARK}`,
    `C:\\Windows\\${MARK}.ini`,
    `\\\\127.0.0.1\\${MARK}\\x`,
    `CON.${MARK}`,
    `${file}\0.png`,
    `${MARK}\r\nX-Injected: yes`,
    `$(cat ${file})\`touch ${folder}/made\`; touch ${folder}/made2 #`,
    `"; touch ${folder}/made3; "`,
    `${MARK}${"A".repeat(10_000)}`,
    `{"url":"http://127.0.0.1:${port}/${MARK}"}`,
  ];
}

/** What a file field may be sent as, of which nothing may be read or fetched. */
export function hostileFiles(canary: Canary, bytes: Uint8Array): unknown[] {
  const valid = base64(bytes);
  return hostileTexts(canary).flatMap((text) => [
    text,
    { url: text },
    { path: text, meta: { _type: "gradio.FileData" } },
    { artifact_id: text },
    { base64: text },
    { base64: valid, name: text },
    { base64: valid, url: text, path: text },
    [text],
  ]);
}

/**
 * A backend for every plugin that needs no settings, on its stand-in where it has one; each with a
 * device of its own, so that none waits for another.
 */
export async function everyPlugin(): Promise<{ yaml: string; stop(): Promise<void> }> {
  const fakes: Fake[] = [];
  const backends: string[] = [];
  const devices: string[] = [];
  for (const path of [...new Bun.Glob("plugins/*/plugin.ts").scanSync(ROOT)].sort()) {
    const name = path.split(/[\\/]/)[1] ?? "";
    const plugin: AnyPlugin = (await import(join(ROOT, path))).default;
    const needs = Object.values<any>(plugin.config).some(
      (field) =>
        field.default === undefined &&
        !Object.getOwnPropertySymbols(field).some((mark) => String(mark).includes("Optional")),
    );
    if (needs) continue;
    const fake = plugin.defaultUrl === undefined ? undefined : await startFake(name);
    if (fake) fakes.push(fake);
    const url = fake?.url ?? (plugin.defaultUrl === undefined ? undefined : "http://127.0.0.1:1");
    const at = url === undefined ? "" : `, url: "${url}"`;
    backends.push(`  ${name}: { use: ${name}, device: gpu-${name}${at} }`);
    devices.push(`  gpu-${name}: { memory_mib: 200000, probe: none }`);
  }
  return {
    yaml: ["devices:", ...devices, "backends:", ...backends].join("\n"),
    stop: async () => void (await Promise.all(fakes.map((fake) => fake.stop()))),
  };
}

async function startFake(name: string): Promise<Fake | undefined> {
  const file = Bun.file(join(ROOT, "tests/fakes", `${name}.ts`));
  if (!(await file.exists())) return undefined;
  const found = Object.entries(await import(String(file.name))).find(([key]) =>
    /^startFake/.test(key),
  );
  const start = found?.[1] as ((options: object) => Promise<Fake>) | undefined;
  return start?.({ port: 0 });
}

export const canTrace =
  spawnSync("strace", ["-f", "-e", "trace=connect", "-o", "/dev/null", "true"]).status === 0;
/** Whatever names a file or a peer; not execve, whose arguments are texts. */
const CALLS =
  "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,connect";

/** Attaches to the process; the returned function detaches and tells the lines of its calls. */
export async function traceCalls(pid: number, file: string): Promise<() => Promise<string[]>> {
  const args = ["-f", "-s", "4096", "-e", `trace=${CALLS}`, "-o", file, "-p", String(pid)];
  const strace = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = new Promise<void>((done) => strace.once("exit", () => done()));
  let said = "";
  strace.stderr.on("data", (chunk) => {
    said += chunk;
  });
  await eventually("strace is attached", () => /attached/.test(said) && existsSync(file));
  return async () => {
    strace.kill("SIGINT");
    await exited;
    return readFileSync(file, "utf8").split("\n");
  };
}
