/** A simulated device for the tests of plugins and fakes, and what is used of it. */
import { onTestFinished } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeDevice } from "../../core/vram/probes/mod.ts";

export interface TestDevice {
  readonly folder: string;
  /** MiB held now. */
  used(): number;
}

/** Removed after the test. */
export function simulatedDevice(totalMiB = 24_576): TestDevice {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-device-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  describeDevice(folder, { total_mib: totalMiB });
  const allocations = () => readdirSync(folder).filter((file) => /^\d+-.*\.json$/.test(file));
  const mibOf = (file: string) => JSON.parse(readFileSync(join(folder, file), "utf8")).used_mib;
  return { folder, used: () => allocations().reduce((sum, file) => sum + mibOf(file), 0) };
}
