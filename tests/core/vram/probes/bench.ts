/** A folder with stand-in tools on its PATH, and probes opened against them, for the tests here. */
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../../core/clock.ts";
import { createLog } from "../../../../core/log.ts";
import {
  type DeviceProbeSettings,
  openProbes,
  type Probe,
  type ProbeLimits,
} from "../../../../core/vram/probes/mod.ts";

export interface Bench {
  readonly folder: string;
  /** What was logged at warn and above, a line each. */
  readonly warnings: string[];
  /** A shell script under this name on the PATH of the probes. $FOLDER is the bench's folder. */
  tool(name: string, script: string): void;
  /** Replaces a file as a whole. */
  write(name: string, text: string): void;
  /** The pids that the tools noted with `echo $$ >> $FOLDER/started`. */
  started(): readonly number[];
  open(
    devices: Record<string, Partial<DeviceProbeSettings>>,
    limits?: Partial<ProbeLimits>,
  ): Promise<ReadonlyMap<string, Probe>>;
  /** Closes the probes and removes the folder. */
  close(): Promise<void>;
}

export function createBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-probes-"));
  const warnings: string[] = [];
  const opened: Probe[] = [];
  const write = (name: string, text: string): void => {
    writeFileSync(join(folder, `${name}.new`), text);
    renameSync(join(folder, `${name}.new`), join(folder, name));
  };
  return {
    folder,
    warnings,
    write,
    tool(name, script) {
      // The probes see this folder alone, so that a real tool of the machine is never found.
      const head = `#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\nFOLDER='${folder}'\n`;
      writeFileSync(join(folder, name), `${head}${script}\n`);
      chmodSync(join(folder, name), 0o755);
    },
    started() {
      try {
        const lines = readFileSync(join(folder, "started"), "utf8").trim().split("\n");
        return lines.map(Number);
      } catch {
        return [];
      }
    },
    async open(devices, limits = {}) {
      const settings = Object.entries(devices).map(([name, device]) => [
        name,
        { probe: "nvidia-smi" as const, intervalMs: 100, ...device },
      ]);
      const probes = await openProbes({
        devices: Object.fromEntries(settings),
        clock: systemClock,
        log: createLog({ level: "warn", write: (line) => void warnings.push(line) }),
        env: { PATH: folder },
        limits: { backOffMs: 20, maxBackOffMs: 100, ...limits },
      });
      opened.push(...probes.values());
      return probes;
    },
    async close() {
      await Promise.all(opened.map((probe) => probe.close()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A document of nvidia-smi with these cards. */
export function nvidiaXml(
  cards: readonly { readonly uuid: string; readonly usedMiB: number }[],
): string {
  const gpus = cards.map(
    ({ uuid, usedMiB }, index) => `<gpu id="00000000:0${index}:00.0">
<product_name>NVIDIA Stand-in</product_name><uuid>${uuid}</uuid>
<pci><pci_bus_id>00000000:0${index}:00.0</pci_bus_id></pci>
<fb_memory_usage><total>10000 MiB</total><reserved>0 MiB</reserved><used>${usedMiB} MiB</used>
<free>${10000 - usedMiB} MiB</free></fb_memory_usage>
<processes><process_info><pid>${index + 1}</pid><type>C</type><process_name>x</process_name>
<used_memory>${usedMiB} MiB</used_memory></process_info></processes></gpu>`,
  );
  return `<?xml version="1.0" ?>\n<nvidia_smi_log>\n${gpus.join("\n")}\n</nvidia_smi_log>\n`;
}

/** Prints the file `now` again and again, as nvidia-smi does with --loop-ms. */
export const LOOP = "echo $$ >> $FOLDER/started\nwhile :; do cat $FOLDER/now; sleep 0.03; done";

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
