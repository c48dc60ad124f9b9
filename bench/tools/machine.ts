/** What the figures were measured on. A figure without this line says nothing. */
import { spawnSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { benchFolder } from "./stage.ts";
import { figure, median } from "./statistics.ts";

export interface Machine {
  readonly line: string;
  readonly load: number;
  readonly syncMs: number;
}

const SYNCS = 200;
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  1481003842: "xfs",
  2435016766: "btrfs",
  16914836: "tmpfs",
  2035054128: "overlayfs",
};

export function describeMachine(): Machine {
  const load = loadavg()[0] ?? 0;
  const syncMs = syncCostMs();
  const type = FILE_SYSTEMS[Number(statfsSync(benchFolder()).type)] ?? "unknown file system";
  const processors = cpus();
  const line = [
    `${processors.length} × ${processors[0]?.model.trim() ?? "unknown processor"}`,
    `${figure(totalmem() / 2 ** 30)} GiB RAM`,
    `Linux ${release()}`,
    `${type}, fdatasync of 8 KiB ${figure(syncMs, 2)} ms (median)`,
    `bun ${Bun.version}`,
    ...["node --version", "nginx -v", "redis-server --version", "wrk -v"].flatMap(version),
    `load average at start ${figure(load, 2)}`,
  ].join(", ");
  return { line, load, syncMs };
}

function version(command: string): string[] {
  const [program = "", ...args] = command.split(" ");
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  const found = /\d+\.\d+\.\d+/.exec(`${stdout ?? ""}${stderr ?? ""}`)?.[0];
  return found === undefined ? [] : [`${program} ${found}`];
}

/** What one durable write costs on this disk, by itself. */
function syncCostMs(): number {
  const path = join(benchFolder(), `switchyard-bench-sync-${process.pid}`);
  const file = openSync(path, "w");
  const block = Buffer.alloc(8_192, 1);
  try {
    const times = Array.from({ length: SYNCS }, () => {
      writeSync(file, block);
      const start = performance.now();
      fdatasyncSync(file);
      return performance.now() - start;
    });
    return median(times);
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
