/**
 * The launcher in a small repository of its own, whose core/main.ts reports what reaches it.
 * Nothing is downloaded: the running Bun is the pinned one, and is found in PATH.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const NODE = Bun.which("node") ?? process.execPath;
const SCRIPT = Bun.which("script");
const LIMIT_MS = 20_000;

const MAIN = `
const say = (what) => process.stdout.write(JSON.stringify(what) + "\\n");
let signals = 0;
for (const name of ["SIGINT", "SIGTERM"]) {
  process.on(name, () => {
    signals += 1;
    say({ signal: name });
    // Long enough for a second delivery of the same signal to be seen.
    if (signals === 1) setTimeout(() => { say({ signals }); process.exit(7); }, 1_200);
  });
}
const [word] = process.argv.slice(2);
say({ args: process.argv.slice(2), mode: process.env.NODE_ENV, cwd: process.cwd() });
if (word === "wait") setInterval(() => {}, 1_000);
else process.exit(Number(word ?? 0));
`;

const LOCK = `{
  "lockfileVersion": 2,
  "configVersion": 1,
  "workspaces": { "": { "name": "small", "dependencies": { "part": "file:./part" } } },
  "packages": { "part": ["part@file:part", {}] }
}
`;

const folders: string[] = [];
/** The running Bun under the name that PATH is searched for. */
const BIN = mkdtempSync(join(tmpdir(), "switchyard-bin-"));
symlinkSync(process.execPath, join(BIN, "bun"));
folders.push(BIN);
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function smallRepository(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "switchyard-launch-")));
  folders.push(folder);
  for (const part of ["scripts/launch.mjs", "scripts/runtime/install.mjs"]) {
    cpSync(join(ROOT, part), join(folder, part));
  }
  for (const part of ["package.json", "package-lock.json"]) {
    cpSync(join(ROOT, "scripts/runtime/bun", part), join(folder, "scripts/runtime/bun", part));
  }
  mkdirSync(join(folder, "core"));
  writeFileSync(join(folder, "core/main.ts"), MAIN);
  writeFileSync(join(folder, "scripts/hello.ts"), 'console.log("hello", process.argv.slice(2));');
  mkdirSync(join(folder, "part"));
  writeFileSync(join(folder, "part/package.json"), '{ "name": "part", "version": "1.0.0" }');
  const dependencies = { part: "file:./part" };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "small", dependencies }));
  writeFileSync(join(folder, "bun.lock"), LOCK);
  return folder;
}

/** The environment of a machine where the running Bun is in PATH, outside any npm script. */
function environment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_ENV)/.test(name));
  const path = [BIN, dirname(NODE), "/usr/bin", "/bin"].join(":");
  return { ...(Object.fromEntries(kept) as Record<string, string>), PATH: path, ...more };
}

function launch(folder: string, args: readonly string[], env = environment()) {
  const launcher = join(folder, "scripts/launch.mjs");
  const options = { encoding: "utf8", env, cwd: tmpdir(), timeout: LIMIT_MS } as const;
  const { status, stdout, stderr } = spawnSync(NODE, [launcher, ...args], options);
  return { status, stdout, stderr };
}

/** Starts a command and gives what it printed so far. */
function watch(command: string, args: readonly string[], options: SpawnOptions) {
  const child: ChildProcess = spawn(command, [...args], options);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const exit = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
  return { child, exit, output: () => output };
}

async function shows(output: () => string, text: string): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!output().includes(text)) {
    if (performance.now() > end) throw new Error(`"${text}" did not come; there was: ${output()}`);
    await Bun.sleep(10);
  }
}

const waiting = (folder: string) => [join(folder, "scripts/launch.mjs"), "start", "wait"];
const READY = '"args":["wait"]';

describe("the launcher", () => {
  test("start runs core/main.ts in the repository, for production, and ends as it ends", () => {
    const folder = smallRepository();
    const { status, stdout } = launch(folder, ["start", "3"]);
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toEqual({ args: ["3"], mode: "production", cwd: folder });
  });

  test("other words are the switchyard command; none asks for help", () => {
    const folder = smallRepository();
    const words = (...args: string[]) => JSON.parse(launch(folder, args).stdout).args;
    expect(words("0", "list", "--all")).toEqual(["0", "list", "--all"]);
    expect(words()).toEqual(["help"]);
  });

  test("script runs a script with its arguments, and says when there is none", () => {
    const folder = smallRepository();
    const { status, stdout } = launch(folder, ["script", "hello", "--x", "y"]);
    expect([status, stdout]).toEqual([0, 'hello [ "--x", "y" ]\n']);
    const absent = launch(folder, ["script", "absent"]);
    expect([absent.status, absent.stderr]).toEqual([1, "There is no scripts/absent.ts.\n"]);
    expect(launch(folder, ["script", "../core/main"]).status).toBe(1);
  });

  test("packages are installed once, and again when the lock changes", () => {
    const folder = smallRepository();
    expect(launch(folder, ["start"]).stderr).toMatch(/installing packages .* done in/);
    const marker = join(folder, "node_modules/.switchyard-lock");
    const before = statSync(marker).mtimeMs;
    expect(launch(folder, ["start"]).stderr).toBe("");
    expect(statSync(marker).mtimeMs).toBe(before);
    writeFileSync(join(folder, "bun.lock"), `${readFileSync(join(folder, "bun.lock"))}\n`);
    expect(launch(folder, ["start"]).stderr).toContain("installing packages");
    expect(launch(folder, ["start"]).stderr).toBe("");
  });

  test("a start is content with the packages of a check, not the other way round", () => {
    const folder = smallRepository();
    launch(folder, ["start"]);
    expect(launch(folder, ["script", "hello"]).stderr).toContain("development tools included");
    expect(launch(folder, ["start"]).stderr).toBe("");
    expect(launch(folder, ["script", "hello"]).stderr).toBe("");
  });

  test("path prints the pinned Bun, and finds it again when it has moved", () => {
    const folder = smallRepository();
    expect(launch(folder, ["path", "bun"]).stdout.trim()).toBe(join(BIN, "bun"));
    const marker = join(folder, "scripts/runtime/bun/.installed.json");
    const moved = { ...JSON.parse(readFileSync(marker, "utf8")), path: join(folder, "gone") };
    writeFileSync(marker, JSON.stringify(moved));
    expect(launch(folder, ["path", "bun"]).stdout.trim()).toBe(join(BIN, "bun"));
  });

  const npm = Bun.which("npm");
  test.skipIf(npm === null || NODE === process.execPath)(
    "without a network it says what failed and what to do (needs npm)",
    () => {
      const folder = smallRepository();
      const env = environment({
        PATH: [dirname(NODE), dirname(npm ?? ""), "/usr/bin", "/bin"].join(":"),
        npm_config_registry: "http://127.0.0.1:9/",
        npm_config_cache: join(folder, "cache"),
        npm_config_fetch_retries: "0",
      });
      if (spawnSync("sh", ["-c", "command -v bun"], { env }).status === 0) return;
      const { status, stderr } = launch(folder, ["start"], env);
      expect(status).toBe(1);
      expect(stderr).toContain(`Could not install Bun ${Bun.version}`);
      expect(stderr).toContain("check the network");
      expect(stderr).not.toContain("install.mjs");
    },
    LIMIT_MS,
  );
});

describe.skipIf(process.platform === "win32")("signals (needs POSIX)", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal} to the launcher reaches the gateway once`, async () => {
      const folder = smallRepository();
      const { child, exit, output } = watch(NODE, waiting(folder), {
        env: environment(),
        stdio: ["ignore", "pipe", "pipe"],
      });
      await shows(output, READY);
      child.kill(signal);
      expect(await exit).toBe(7);
      expect(output()).toContain(`{"signal":"${signal}"}\n{"signals":1}`);
    });
  }

  test.skipIf(SCRIPT === null)(
    "Ctrl-C on a terminal reaches the gateway once (needs script)",
    async () => {
      const folder = smallRepository();
      // `script` runs a shell, which must not stand between the terminal and the exit code.
      const command = ["exec", NODE, ...waiting(folder)].join(" ");
      const { child, exit, output } = watch(SCRIPT ?? "", ["-qec", command, "/dev/null"], {
        env: environment(),
        stdio: ["pipe", "pipe", "pipe"],
      });
      await shows(output, READY);
      child.stdin?.write("\x03");
      await shows(output, '"signals":');
      expect(output()).toContain('{"signals":1}');
      expect(await exit).toBe(7);
    },
  );

  test("when npm's shell is killed, the gateway is told to stop", async () => {
    const folder = smallRepository();
    const command = `${NODE} ${waiting(folder).join(" ")}; true`;
    const { child, output } = watch("sh", ["-c", command], {
      env: environment({ npm_lifecycle_event: "start" }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    await shows(output, READY);
    child.kill("SIGKILL");
    await shows(output, '{"signals":1}');
    expect(output()).toContain('{"signal":"SIGTERM"}');
  });
});

describe("the pinned runtimes", () => {
  const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

  test("every place names the same Bun", () => {
    const pinned = JSON.parse(read("scripts/runtime/bun/package.json")).dependencies.bun;
    expect(JSON.parse(read("package.json")).devDependencies["bun-types"]).toBe(pinned);
    const images = [...read("Dockerfile").matchAll(/^FROM oven\/bun:(\S+)/gm)].map(([, v]) => v);
    expect([...new Set(images)]).toEqual([pinned]);
    expect(Bun.version).toBe(pinned);
  });

  for (const name of ["bun", "deno"]) {
    test(`the lock of ${name} fits its pin, and works with any registry`, () => {
      const { dependencies } = JSON.parse(read(`scripts/runtime/${name}/package.json`));
      const lock = JSON.parse(read(`scripts/runtime/${name}/package-lock.json`));
      expect(lock.packages[""].dependencies).toEqual(dependencies);
      const { version, optionalDependencies } = lock.packages[`node_modules/${name}`];
      expect(version).toBe(dependencies[name]);
      for (const build of Object.keys(optionalDependencies)) {
        expect([build, lock.packages[`node_modules/${build}`]?.version]).toEqual([build, version]);
      }
      expect(JSON.stringify(lock)).not.toContain('"resolved"');
    });
  }
});
