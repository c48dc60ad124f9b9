/** How long a job's message takes to a thousand WebSocket subscribers, beside a plain `ws` loop. */
import { join } from "node:path";
import { benchBackend, GATEWAY_CPU, LOAD_CPU, startGateway, unlimited } from "./tools/gateway.ts";
import { COMPARATORS, has, installComparators, missing, need } from "./tools/needs.ts";
import type { Bench, Report } from "./tools/report.ts";
import { onOwnStage, type Program, type Stage } from "./tools/stage.ts";
import { median, spread } from "./tools/statistics.ts";

const ROUNDS = 4;
const SUBSCRIBERS = 1_000;
const MESSAGES = 50;
const INTERVAL_MS = 100;
/** The text of one message; with what stands around it, a message has about 200 bytes. */
const TEXT_BYTES = 60;
const READY_LIMIT_MS = 30_000;

interface Delays {
  readonly messages: number;
  readonly bytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export const fanout: Bench = {
  name: "fanout",
  summary: `one job's messages to ${SUBSCRIBERS} WebSocket subscribers`,
  async run(): Promise<Report> {
    need("taskset");
    const left = has("node") ? installComparators() : missing("node");
    const ours: Delays[] = [];
    const theirs: Delays[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const delays = await onOwnStage(throughGateway);
      ours.push(delays);
      if (left === undefined) theirs.push(await onOwnStage((it) => throughLoop(it, delays.bytes)));
    }
    return reportOf(ours, theirs, left);
  },
};

async function throughGateway(stage: Stage): Promise<Delays> {
  const gateway = await startGateway(stage, unlimited(benchBackend("ticker")));
  const { data: job } = await gateway.post("/llm/generate", {
    messages: MESSAGES,
    interval_ms: INTERVAL_MS,
    size_bytes: TEXT_BYTES,
  });
  const url = `${gateway.url.replace("http", "ws")}/ws/jobs/${job.job_id}`;
  const clients = await subscribe(stage, url, gateway.key);
  const { data } = await gateway.post("/bench/go", {});
  if (!data.waiting) throw new Error("the job was not waiting to begin");
  return delaysOf(clients);
}

async function throughLoop(stage: Stage, bytes: number): Promise<Delays> {
  const file = join(COMPARATORS, "ws-loop.mjs");
  const server = stage.start(["node", file, ...[MESSAGES, INTERVAL_MS, bytes].map(String)], {
    cpu: GATEWAY_CPU,
  });
  const [, port] = await server.printed(/listening (\d+)/);
  const clients = await subscribe(stage, `ws://127.0.0.1:${port}`, "");
  server.child.stdin?.write("go\n");
  return delaysOf(clients);
}

async function subscribe(stage: Stage, url: string, key: string): Promise<Program> {
  const file = join(import.meta.dirname, "load", "subscribers.ts");
  const command = [process.execPath, file, url, String(SUBSCRIBERS), key];
  const clients = stage.start(command, { cpu: LOAD_CPU });
  await clients.printed(/ready/, READY_LIMIT_MS);
  return clients;
}

async function delaysOf(clients: Program): Promise<Delays> {
  const [, json = ""] = await clients.printed(/RESULT (.+)/, MESSAGES * INTERVAL_MS * 3);
  const delays: Delays = JSON.parse(json);
  const wanted = SUBSCRIBERS * MESSAGES;
  if (delays.messages === wanted) return delays;
  throw new Error(`${delays.messages} messages arrived, ${wanted} were sent`);
}

function reportOf(
  ours: readonly Delays[],
  theirs: readonly Delays[],
  left: string | undefined,
): Report {
  const p50 = (rounds: readonly Delays[]) => rounds.map((it) => it.p50Ms);
  const p99 = (rounds: readonly Delays[]) => rounds.map((it) => it.p99Ms);
  const row = (what: string, rounds: readonly Delays[]) => [
    what,
    spread(p50(rounds), 2),
    spread(p99(rounds), 2),
  ];
  return {
    tables: [
      {
        caption:
          `Milliseconds from \`job.emit\` to its arrival, ${SUBSCRIBERS.toLocaleString("en-US")} ` +
          `subscribers, ${1_000 / INTERVAL_MS} messages a second of ${ours[0]?.bytes} bytes: ` +
          `median of ${ROUNDS} rounds (least to most).`,
        head: ["through", "p50", "p99"],
        rows: [
          row("Switchyard: stored in the event log, then sent", ours),
          row("Node `ws` 8.23.0, a loop that only sends", theirs),
        ],
      },
    ],
    verdicts: [
      verdict("p50 to 1,000 subscribers", 8, median(p50(ours))),
      verdict("p99 to 1,000 subscribers", 25, median(p99(ours))),
    ],
    notes: [
      "Every subscriber got every message, once. The subscribers are one process on the other CPU.",
      ...(left === undefined ? [] : [`Node \`ws\` was skipped: it ${left}.`]),
    ],
    raw: { ours, theirs },
  };
}

function verdict(goal: string, limit: number, measured: number) {
  return { goal, limit, measured, kind: "most" as const, unit: "ms", digits: 2 };
}
