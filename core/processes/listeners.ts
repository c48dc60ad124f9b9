/** Who listens on a port of this machine: whose GPU memory an unsupervised local backend's is. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { descendantsOf, readTable } from "../sdk/processes/table.ts";

/** `st` of /proc/net/tcp for a socket that listens (include/net/tcp_states.h of Linux). */
const LISTENING = "0A";
/** Loopback and the unspecified address, as the kernel prints them on a little-endian machine. */
const LOCAL_ADDRESSES =
  /^(?:0{8}|[0-9A-F]{6}7F|0{32}|0{24}01000000|0{16}FFFF0000(?:[0-9A-F]{6}7F|0{8}))$/;

/**
 * The processes that listen on the port on a loopback address or on any, and their descendants. []
 * where it cannot be known: not Linux, another user's process, another network namespace.
 */
export async function listenerPids(port: number): Promise<readonly number[]> {
  const holders = await holdersOf(port);
  if (holders.length === 0) return [];
  return [...holders, ...descendantsOf(await readTable(), holders)];
}

/** Only those that hold the listening socket itself. */
export async function holdersOf(port: number): Promise<readonly number[]> {
  if (process.platform !== "linux" || !Number.isInteger(port)) return [];
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const inodes = tables.flatMap((table) => listeningInodes(table, port));
  if (inodes.length === 0) return [];
  const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const held = await Promise.all(
    pids.map(async (pid) => ((await holds(pid, wanted)) ? Number(pid) : 0)),
  );
  return held.filter((pid) => pid > 0);
}

/** A line: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`. */
function listeningInodes(table: string, port: number): string[] {
  const suffix = port.toString(16).toUpperCase().padStart(4, "0");
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const [address = "", at = ""] = (fields[1] ?? "").split(":");
      const inode = fields[9];
      if (fields[3] !== LISTENING || at !== suffix || inode === undefined) return [];
      return LOCAL_ADDRESSES.test(address) ? [inode] : [];
    });
}

async function holds(pid: string, wanted: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const target = await readlink(`${folder}/${name}`).catch(() => "");
    if (wanted.has(target)) return true;
  }
  return false;
}
