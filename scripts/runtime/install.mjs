/**
 * Puts the pinned runtimes (Bun, Deno) and the locked packages in place, so that Node and npm are
 * all a machine needs. Plain JavaScript for Node, because it runs before there is a Bun. When
 * everything is in place it only reads three small files.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
export const ROOT = join(HERE, "..", "..");
const WINDOWS = process.platform === "win32";
const PLATFORM = `${process.platform}-${process.arch}`;

/** Where each runtime's platform packages keep the program, and what a download weighs. */
const RUNTIMES = {
  bun: {
    title: "Bun",
    scope: "@oven",
    program: WINDOWS ? "bin/bun.exe" : "bin/bun",
    size: "52 MB",
  },
  deno: { title: "Deno", scope: "@deno", program: WINDOWS ? "deno.exe" : "deno", size: "42 MB" },
};

/** How much of an installer's own complaint is shown. */
const SHOWN_LINES = 6;

/** Something the person at the terminal can mend; printed without a stack. */
export class InstallError extends Error {}

/** Absolute path of the pinned `bun` or `deno`; installs it first when it is not there. */
export function runtimePath(name) {
  const folder = join(HERE, name);
  const version = JSON.parse(read(join(folder, "package.json"))).dependencies[name];
  const marker = join(folder, ".installed.json");
  const known = recorded(marker, version);
  if (known !== undefined) return known;
  const path = ownRuntime(name, version) ?? inPath(name, version) ?? download(name, version);
  const { size, mtimeMs } = statSync(path);
  writeFileSync(marker, JSON.stringify({ version, platform: PLATFORM, path, size, mtimeMs }));
  return path;
}

/**
 * Installs the packages of bun.lock unless they are there. `production` leaves out the tools that
 * only checks and tests need, but never removes them from a checkout that has them.
 */
export function installPackages(bun, { production }) {
  const modules = join(ROOT, "node_modules");
  const marker = join(modules, ".switchyard-lock");
  const wanted = `${PLATFORM}\n${read(join(ROOT, "package.json"))}${read(join(ROOT, "bun.lock"))}`;
  const [kind, found] = splitLine(read(marker, ""));
  if (found === wanted && (production || kind === "all")) return;
  const everything = !production || kind === "all" || (kind === "" && existsSync(modules));
  const weight = everything ? "66 MB, development tools included" : "30 MB";
  step(`packages at the locked versions (${weight})`, () =>
    spawnSync(
      bun,
      ["install", "--frozen-lockfile", "--ignore-scripts", ...(everything ? [] : ["--production"])],
      { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" },
    ),
  );
  writeFileSync(marker, `${everything ? "all" : "production"}\n${wanted}`);
}

/** The recorded path, if the program is still the one whose version was checked. */
function recorded(marker, version) {
  try {
    const entry = JSON.parse(readFileSync(marker, "utf8"));
    const { size, mtimeMs } = statSync(entry.path);
    const same = size === entry.size && mtimeMs === entry.mtimeMs;
    return same && entry.version === version && entry.platform === PLATFORM
      ? entry.path
      : undefined;
  } catch {
    return undefined;
  }
}

/** `bun run start`: the program that runs this file may already be the pinned one. */
function ownRuntime(name, version) {
  return process.versions[name] === version ? process.execPath : undefined;
}

function inPath(name, version) {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, WINDOWS ? `${name}.exe` : name))
    .find((path) => existsSync(path) && runs(path, version));
}

function download(name, version) {
  const { title, scope, program, size } = RUNTIMES[name];
  const folder = join(HERE, name);
  step(`${title} ${version} (${size})`, () => npmInstall(folder));
  const packages = join(folder, "node_modules", scope);
  const built = existsSync(packages) ? readdirSync(packages) : [];
  // Some npm versions install both the glibc and the musl build: take the one that runs here.
  const path = built
    .map((entry) => join(packages, entry, program))
    .find((candidate) => existsSync(candidate) && runs(candidate, version));
  if (path !== undefined) return path;
  throw new InstallError(
    built.length === 0
      ? `${title} ${version} has no build for ${PLATFORM}. Use Linux, macOS or Windows on x64 or arm64.`
      : `${title} ${version} was installed (${built.join(", ")}) but does not run on this machine.`,
  );
}

/** npm where there is one, else the Bun that runs this file, whatever its version. */
function npmInstall(folder) {
  const options = { cwd: folder, stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" };
  const flags = [
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--include=optional",
    "--prefer-offline",
    // Without a network npm would be silent for two minutes before it says so.
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
  ];
  const args = ["ci", ...flags, "--loglevel=error", "--prefix", folder];
  const cli = process.env.npm_execpath;
  if (cli?.endsWith("npm-cli.js") && !process.versions.bun) {
    return spawnSync(process.execPath, [cli, ...args], options);
  }
  const npm = WINDOWS
    ? spawnSync("npm.cmd", ["ci", ...flags, "--loglevel=error"], { ...options, shell: true })
    : spawnSync("npm", args, options);
  if (npm.error === undefined || !process.versions.bun) return npm;
  return spawnSync(process.execPath, ["install", "--no-save", "--ignore-scripts"], options);
}

/** Says what is being installed and how long it took; a failure says what to do. */
function step(what, install) {
  const start = Date.now();
  process.stderr.write(`switchyard: installing ${what} ...`);
  const { status, error, stderr } = install();
  if (status === 0) {
    process.stderr.write(` done in ${((Date.now() - start) / 1000).toFixed(1)} s\n`);
    return;
  }
  process.stderr.write(" failed\n");
  const cause = error === undefined ? `exit code ${status}` : error.message;
  const said = (stderr ?? "").trim().split("\n").slice(0, SHOWN_LINES).join("\n");
  throw new InstallError(
    `${said}\nCould not install ${what}: ${cause}.\n` +
      "It comes from the npm registry: check the network, the proxy and `npm config get registry`,\n" +
      "and that this folder is writable with space left. Then run the same command again.",
  );
}

function runs(path, version) {
  const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 20_000 });
  // `bun --version` prints "1.4.5"; `deno --version` begins with "deno 2.9.6 (".
  return (
    (stdout ?? "")
      .trim()
      .replace(/^deno /, "")
      .split(/\s/)[0] === version
  );
}

function splitLine(text) {
  const end = text.indexOf("\n");
  return end === -1 ? ["", ""] : [text.slice(0, end), text.slice(end + 1)];
}

function read(path, otherwise) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (otherwise !== undefined) return otherwise;
    throw error;
  }
}
