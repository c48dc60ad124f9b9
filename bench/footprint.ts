/** What the gateway takes when nobody uses it: memory, and time to start. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { gatewayEnvironment, MAIN, ROOT } from "./tools/gateway.ts";
import { has } from "./tools/needs.ts";
import type { Bench, Report } from "./tools/report.ts";
import { onOwnStage, type Stage } from "./tools/stage.ts";
import { residentMiB, startUntil } from "./tools/startup.ts";
import { median, spread } from "./tools/statistics.ts";

const STARTS = 9;
const IDLE_MS = 30_000;

interface Memory {
  readonly atStart: { readonly all: number; readonly own: number };
  readonly idle: { readonly all: number; readonly own: number };
}

export const footprint: Bench = {
  name: "footprint",
  summary: "idle memory and cold start, with the shipped configuration",
  async run(): Promise<Report> {
    const direct: number[] = [];
    const npm: number[] = [];
    for (let start = 0; start < STARTS; start++) {
      direct.push(await onOwnStage((stage) => coldStart(stage, [process.execPath, MAIN])));
      if (has("npm")) npm.push(await onOwnStage((stage) => coldStart(stage, ["npm", "start"])));
    }
    return reportOf(direct, npm, await onOwnStage(idleMemory));
  },
};

/** Every start has a fresh data folder, so it also makes the database. */
async function coldStart(stage: Stage, command: readonly string[]): Promise<number> {
  const started = await startUntil(stage, command, "/health", shipped(stage));
  started.child.kill("SIGTERM");
  await started.exited;
  return started.tookMs;
}

async function idleMemory(stage: Stage): Promise<Memory> {
  const started = await startUntil(stage, [process.execPath, MAIN], "/health", shipped(stage));
  const atStart = residentMiB(started.pid);
  await Bun.sleep(IDLE_MS);
  return { atStart, idle: residentMiB(started.pid) };
}

/** config/gateway.yaml as it is: every shipped plugin. */
function shipped(stage: Stage) {
  const folder = stage.folder();
  const config = join(folder, "gateway.yaml");
  copyFileSync(join(ROOT, "config", "gateway.yaml"), config);
  return (port: number) => gatewayEnvironment(config, join(folder, "data"), port);
}

function reportOf(
  direct: readonly number[],
  npm: readonly number[],
  { atStart, idle }: Memory,
): Report {
  const more = npm.map((ms, start) => ms - (direct[start] ?? Number.NaN));
  const mib = ({ all, own }: Memory["idle"]) => [`${all.toFixed(0)} MiB`, `${own.toFixed(0)} MiB`];
  return {
    tables: [
      {
        caption: `Milliseconds to the first 200 of \`/health\`: median of ${STARTS} starts (least to most).`,
        head: ["start", "ms"],
        rows: [
          ["`bun core/main.ts`", spread(direct)],
          ["`npm start`, everything installed", spread(npm)],
        ],
      },
      {
        caption: "Resident memory of the process, and the part of it that is no file.",
        head: ["when", "resident", "no file"],
        rows: [
          ["just started", ...mib(atStart)],
          ["after 30 s without a request", ...mib(idle)],
        ],
      },
    ],
    verdicts: [
      {
        goal: "idle memory",
        kind: "most",
        limit: 80,
        measured: (idle.all * 1_048_576) / 1e6,
        unit: "MB",
      },
      { goal: "cold start", kind: "most", limit: 300, measured: median(direct), unit: "ms" },
      ...(more.length > 0
        ? [
            {
              goal: "`npm start` more than `bun core/main.ts`",
              kind: "most" as const,
              limit: 300,
              measured: median(more),
              unit: "ms",
            },
          ]
        : []),
    ],
    notes: npm.length > 0 ? [] : ["`npm start` was skipped: there is no npm."],
    raw: { direct, npm, atStart, idle },
  };
}
