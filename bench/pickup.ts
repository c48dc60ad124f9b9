/** How long a job waits for its start when nothing is in its way, beside BullMQ. */
import { WORK_INPUT } from "./load/request.ts";
import { runBullmq, runJobs } from "./tools/child.ts";
import { benchBackend, LOAD_CPU, startGateway, unlimited } from "./tools/gateway.ts";
import { has, installComparators, missing, need } from "./tools/needs.ts";
import { startRedis } from "./tools/redis.ts";
import type { Bench, Report } from "./tools/report.ts";
import { onOwnStage, type Stage } from "./tools/stage.ts";
import { median, percentile, spread } from "./tools/statistics.ts";

const ROUNDS = 5;
const JOBS = 200;
const SPACING_MS = 10;

interface Round {
  readonly http: readonly number[];
  readonly bus: readonly number[];
  readonly everysec?: readonly number[];
  readonly always?: readonly number[];
}

export const pickup: Bench = {
  name: "pickup",
  summary: "from enqueueing a job to its start",
  async run(stage): Promise<Report> {
    need("taskset");
    const left = has("redis-server") ? installComparators() : missing("redis-server");
    const everysec = left === undefined ? await startRedis(stage, "everysec", LOAD_CPU) : undefined;
    const always = left === undefined ? await startRedis(stage, "always", LOAD_CPU) : undefined;
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push(
        await onOwnStage(async (own) => {
          const bull = (port?: number) =>
            port === undefined
              ? undefined
              : runBullmq<number[]>(own, "pickup", [port, JOBS, SPACING_MS]);
          return {
            http: await overHttp(own),
            bus: await runJobs<number[]>(own, "pickup", [JOBS, SPACING_MS]),
            everysec: await bull(everysec?.port),
            always: await bull(always?.port),
          };
        }),
      );
    }
    return reportOf(rounds, left);
  },
};

/** From just before the request is sent, by this process, to `run` in the gateway. */
async function overHttp(stage: Stage): Promise<number[]> {
  const gateway = await startGateway(stage, unlimited(benchBackend("noop")));
  const sent: { readonly id: string; readonly sentUs: number }[] = [];
  const warmUps = Math.ceil(JOBS / 5);
  for (let index = -warmUps; index < JOBS; index++) {
    const startMs = performance.now();
    const sentUs = (performance.timeOrigin + startMs) * 1_000;
    const { data } = await gateway.post("/generate/image", WORK_INPUT);
    if (index >= 0) sent.push({ id: data.job_id, sentUs });
    await Bun.sleep(Math.max(0, startMs + SPACING_MS - performance.now()));
  }
  const times: number[] = [];
  for (const { id, sentUs } of sent) {
    const { data } = await gateway.get(`/jobs/${id}`);
    if (data.status !== "completed") throw new Error(`job ${id} is ${data.status}`);
    times.push((data.output.started_us - sentUs) / 1_000);
  }
  await gateway.kill();
  return times;
}

function reportOf(rounds: readonly Round[], left: string | undefined): Report {
  const shares = (pick: (round: Round) => readonly number[] | undefined, share: number) =>
    rounds.flatMap((round) => {
      const times = pick(round);
      return times ? [percentile(times, share)] : [];
    });
  const row = (what: string, pick: (round: Round) => readonly number[] | undefined) => [
    what,
    spread(shares(pick, 0.5), 2),
    spread(shares(pick, 0.99), 2),
  ];
  const [ours, theirs] = [shares((it) => it.bus, 0.5), shares((it) => it.everysec, 0.5)];
  return {
    tables: [
      {
        caption:
          `Milliseconds to the start of the work, ${JOBS} jobs one at a time every ` +
          `${SPACING_MS} ms: median of ${rounds.length} rounds (least to most).`,
        head: ["from … to `run`", "p50", "p99"],
        rows: [
          row("Switchyard, request sent over HTTP, durable 202", (it) => it.http),
          row("Switchyard, in-process submit, durable", (it) => it.bus),
          row("BullMQ 6.7.0 on Bun, add, AOF everysec", (it) => it.everysec),
          row("BullMQ 6.7.0 on Bun, add, AOF always", (it) => it.always),
        ],
      },
    ],
    verdicts: [
      {
        goal: "p50 from the request to `run`",
        kind: "most",
        limit: 2,
        measured: median(shares((it) => it.http, 0.5)),
        unit: "ms",
        digits: 2,
      },
      {
        goal: "p99 from the request to `run`",
        kind: "most",
        limit: 15,
        measured: median(shares((it) => it.http, 0.99)),
        unit: "ms",
        digits: 2,
      },
      ...(theirs.length > 0
        ? [
            {
              goal: "in-process p50, to BullMQ everysec",
              kind: "most" as const,
              limit: 1,
              measured: median(ours.map((value, round) => value / (theirs[round] ?? 0))),
              unit: "×",
              digits: 2,
            },
          ]
        : []),
    ],
    notes: left === undefined ? [] : [`BullMQ was skipped: it ${left}.`],
    raw: rounds,
  };
}
