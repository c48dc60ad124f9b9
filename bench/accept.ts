/** How many requests become durable jobs per second, beside BullMQ's `add` in the same run. */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { WORK_INPUT } from "./load/request.ts";
import { runBullmq, runJobs } from "./tools/child.ts";
import { cpuMs } from "./tools/cpu.ts";
import { benchBackend, GATEWAY_CPU, LOAD_CPU, startGateway, unlimited } from "./tools/gateway.ts";
import { has, installComparators, missing, need } from "./tools/needs.ts";
import { type Redis, startRedis } from "./tools/redis.ts";
import type { Bench, Report } from "./tools/report.ts";
import { onOwnStage, type Stage } from "./tools/stage.ts";
import { median, spread } from "./tools/statistics.ts";
import { type LoadResult, load } from "./tools/wrk.ts";

const ROUNDS = 5;
const PARALLEL = 32;
const ADD_SECONDS = 1.5;
const BULLMQ = "BullMQ 6.7.0 on Bun,";
const ALMOST = "power loss, but for the last second";

interface Adds {
  readonly perSecond: number;
  readonly total: number;
  /** Processor time of one add: the client's, and Redis's where there is one. */
  readonly cpuUs: number;
}

interface Round {
  readonly http32: LoadResult;
  readonly http1: LoadResult;
  /** Processor time of the gateway for one request, at 32 connections. */
  readonly cpuUs: number;
  readonly add: Adds;
  readonly everysec?: Adds;
  /** The same, with Redis on the client's CPU. */
  readonly oneCore?: Adds;
  readonly always?: Adds;
}

export const accept: Bench = {
  name: "accept",
  summary: "durable 202s per second, and BullMQ's add beside",
  async run(stage): Promise<Report> {
    need("wrk", "taskset");
    const left = has("redis-server") ? installComparators() : missing("redis-server");
    const redis = async (sync: "everysec" | "always", cpu: number) =>
      left === undefined ? startRedis(stage, sync, cpu) : undefined;
    const everysec = await redis("everysec", LOAD_CPU);
    const oneCore = await redis("everysec", GATEWAY_CPU);
    const always = await redis("always", LOAD_CPU);
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push(
        await onOwnStage(async (own) => {
          const http = await acceptOverHttp(own);
          const add = await runJobs<Adds>(own, "add", [ADD_SECONDS, PARALLEL]);
          return {
            ...http,
            add,
            everysec: await bullmqAdds(own, everysec),
            oneCore: await bullmqAdds(own, oneCore),
            always: await bullmqAdds(own, always),
          };
        }),
      );
    }
    return reportOf(rounds, left);
  },
};

async function bullmqAdds(stage: Stage, redis: Redis | undefined): Promise<Adds | undefined> {
  if (!redis) return undefined;
  const before = cpuMs(redis.pid);
  const adds = await runBullmq<Adds>(stage, "add", [redis.port, ADD_SECONDS, PARALLEL]);
  const redisUs = ((cpuMs(redis.pid) - before) * 1_000) / adds.total;
  return { ...adds, cpuUs: adds.cpuUs + redisUs };
}

/** A fresh gateway: the requests, and then whether every answered job is on disk after a kill. */
async function acceptOverHttp(stage: Stage): Promise<Pick<Round, "http1" | "http32" | "cpuUs">> {
  const gateway = await startGateway(stage, unlimited(benchBackend("noop", { busy: true })));
  const target = {
    url: `${gateway.url}/generate/image`,
    body: WORK_INPUT,
    headers: { "x-api-key": gateway.key },
  };
  const warm = await load(stage, { ...target, connections: PARALLEL, seconds: 1 });
  const http1 = await load(stage, { ...target, connections: 1, seconds: 2 });
  const before = cpuMs(gateway.pid);
  const http32 = await load(stage, { ...target, connections: PARALLEL, seconds: 3 });
  const cpuUs = ((cpuMs(gateway.pid) - before) * 1_000) / http32.requests;
  await gateway.kill();
  const results = [warm, http1, http32];
  const errors = results.reduce((sum, result) => sum + result.errors, 0);
  if (errors > 0) throw new Error(`${errors} requests were not accepted`);
  const answered = results.reduce((sum, result) => sum + result.requests, 0);
  const stored = countJobs(join(gateway.folder, "data", "switchyard.db"));
  if (stored < answered) throw new Error(`${answered} jobs were accepted, ${stored} are on disk`);
  return { http1, http32, cpuUs };
}

function countJobs(path: string): number {
  const database = new Database(path);
  try {
    const found = database.query("SELECT count(*) AS jobs FROM jobs").get();
    return Number((found as { jobs: number }).jobs);
  } finally {
    database.close();
  }
}

function reportOf(rounds: readonly Round[], left: string | undefined): Report {
  const perSecond = (pick: (round: Round) => { perSecond: number } | undefined) =>
    rounds.flatMap((round) => pick(round)?.perSecond ?? []);
  const ms = (pick: (round: Round) => number) =>
    spread(
      rounds.map(pick).map((us) => us / 1e3),
      2,
    );
  const [http32, add] = [perSecond((it) => it.http32), perSecond((it) => it.add)];
  const everysec = perSecond((it) => it.everysec);
  // Round by round, because the machine differs from one round to the next.
  const ratios = (values: readonly number[]) =>
    everysec.length > 0 ? values.map((value, round) => value / (everysec[round] ?? 0)) : [];
  const row = (
    what: string,
    survives: string,
    pick: (round: Round) => { perSecond: number; cpuUs: number } | undefined,
  ) => [
    what,
    survives,
    spread(perSecond(pick)),
    spread(ratios(perSecond(pick)), 2),
    spread(rounds.flatMap((round) => pick(round)?.cpuUs ?? [])),
  ];
  return {
    tables: [
      {
        caption: `Accepted per second, ${PARALLEL} at once: median of ${rounds.length} rounds (least to most).`,
        head: [
          "what",
          "what a 202 or add survives",
          "per second",
          "× BullMQ everysec",
          "processor time of one, µs",
        ],
        rows: [
          row("Switchyard, `POST /generate/image`", "power loss", ({ http32, cpuUs }) => ({
            perSecond: http32.perSecond,
            cpuUs,
          })),
          row("Switchyard, in-process add", "power loss", (it) => it.add),
          row(`${BULLMQ} everysec, Redis on a core of its own`, ALMOST, (it) => it.everysec),
          row(`${BULLMQ} everysec, Redis on the same core`, ALMOST, (it) => it.oneCore),
          row(`${BULLMQ} always, Redis on a core of its own`, "power loss", (it) => it.always),
        ],
      },
      {
        caption: "`POST /generate/image`, milliseconds from request to 202.",
        head: ["connections", "p50", "p99"],
        rows: [
          ["1", ms((it) => it.http1.p50Us), ms((it) => it.http1.p99Us)],
          [String(PARALLEL), ms((it) => it.http32.p50Us), ms((it) => it.http32.p99Us)],
        ],
      },
    ],
    verdicts: [
      {
        goal: "durable 202s per second on one core",
        kind: "least",
        limit: 10_000,
        measured: median(http32),
        unit: "/s",
      },
      {
        goal: "p50 of one request at a time",
        kind: "most",
        limit: 1,
        measured: median(rounds.map((it) => it.http1.p50Us)) / 1e3,
        unit: "ms",
        digits: 2,
      },
      ...(everysec.length > 0
        ? [
            {
              goal: "in-process add, to BullMQ everysec",
              kind: "least" as const,
              limit: 2,
              measured: median(ratios(add)),
              unit: "×",
              digits: 2,
            },
          ]
        : []),
    ],
    notes: [
      "Every accepted job was found on disk after `kill -9` of the gateway; no request failed.",
      ...(left === undefined ? [] : [`BullMQ was skipped: it ${left}.`]),
    ],
    raw: rounds,
  };
}
