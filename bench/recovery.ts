/** How long a start takes when many jobs wait on disk. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runJobs } from "./tools/child.ts";
import { benchBackend, gatewayEnvironment, MAIN, unlimited } from "./tools/gateway.ts";
import { need } from "./tools/needs.ts";
import type { Bench, Report } from "./tools/report.ts";
import { onOwnStage, type Stage } from "./tools/stage.ts";
import { startUntil } from "./tools/startup.ts";
import { median, spread } from "./tools/statistics.ts";

const STARTS = 5;
const SIZES = [0, 10_000];

export const recovery: Bench = {
  name: "recovery",
  summary: "from the start to ready with 10,000 jobs waiting on disk",
  async run(): Promise<Report> {
    need("taskset");
    const bySize = new Map(SIZES.map((size) => [size, [] as number[]]));
    for (let start = 0; start < STARTS; start++) {
      for (const [size, times] of bySize) {
        times.push(await onOwnStage((stage) => readyAfter(stage, size)));
      }
    }
    return {
      tables: [
        {
          caption: `Milliseconds from the start to the first 200 of \`/ready\`: median of ${STARTS} starts (least to most).`,
          head: ["pending jobs on disk", "ms"],
          rows: [...bySize].map(([size, times]) => [size.toLocaleString("en-US"), spread(times)]),
        },
      ],
      verdicts: [
        {
          goal: "ready with 10,000 pending jobs",
          kind: "most",
          limit: 2_000,
          measured: median(bySize.get(10_000) ?? []),
          unit: "ms",
        },
      ],
      notes: [],
      raw: Object.fromEntries(bySize),
    };
  },
};

/** The jobs' backend is busy for ever, so that they are still pending when it is ready. */
async function readyAfter(stage: Stage, size: number): Promise<number> {
  const folder = stage.folder();
  const data = join(folder, "data");
  if (size > 0) await runJobs(stage, "fill", [size], data);
  const config = join(folder, "gateway.yaml");
  writeFileSync(config, unlimited(benchBackend("noop", { busy: true })));
  const environment = (port: number) => gatewayEnvironment(config, data, port);
  const started = await startUntil(stage, [process.execPath, MAIN], "/ready", environment);
  await started.kill();
  return started.tookMs;
}
