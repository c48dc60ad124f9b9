/** What the gateway adds to a call that it passes on, beside nginx as a proxy to the same stub. */
import { join } from "node:path";
import { cpuMs } from "./tools/cpu.ts";
import { benchBackend, GATEWAY_CPU, startGateway, unlimited } from "./tools/gateway.ts";
import { COMPARATORS, has, installComparators, missing, need } from "./tools/needs.ts";
import { STUB_ANSWER, startProxy, startStub } from "./tools/nginx.ts";
import type { Bench, Report } from "./tools/report.ts";
import type { Stage } from "./tools/stage.ts";
import { median, spread } from "./tools/statistics.ts";
import { type LoadResult, load } from "./tools/wrk.ts";

const ROUNDS = 5;
const SECONDS = 2;
const PARALLEL = 32;
const FASTIFY = "@fastify/http-proxy";
const BODY = { model: "dummy", messages: [{ role: "user", content: "hi there" }] };

interface Target {
  readonly name: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pid: number;
  readonly one: LoadResult[];
  readonly many: LoadResult[];
  readonly cpuUs: number[];
}

export const overhead: Bench = {
  name: "overhead",
  summary: "what a synchronous call through the gateway costs more than one through nginx",
  async run(stage): Promise<Report> {
    need("wrk", "nginx", "taskset");
    const stub = await startStub(stage);
    const target = (name: string, url: string, pid: number, headers = {}): Target => {
      return { name, url, pid, headers, one: [], many: [], cpuUs: [] };
    };
    const direct = target("direct", `${stub.url}/chat`, stub.pid);
    const proxy = await startProxy(stage, stub.url);
    const nginx = target("nginx proxy_pass", `${proxy.url}/chat`, proxy.pid);
    const config = unlimited(benchBackend("stub", { url: stub.url }));
    const gateway = await startGateway(stage, config);
    const ours = target("Switchyard", `${gateway.url}/bench/chat`, gateway.pid, {
      "x-api-key": gateway.key,
    });
    const bare = await startBare(stage, `${stub.url}/chat`);
    const others = [target("bare `Bun.serve` and `fetch`", bare.url, bare.pid)];
    const left = has("node") ? installComparators() : missing("node");
    if (left === undefined) {
      const fastify = await startFastify(stage, stub.url);
      others.push(target(FASTIFY, `${fastify.url}/chat`, fastify.pid));
    }
    const targets = [direct, nginx, ours, ...others];
    await expectSameAnswer(gateway.post("/bench/chat", BODY));
    for (const each of targets) await load(stage, { ...loadOf(each), connections: 32, seconds: 1 });
    for (let round = 0; round < ROUNDS; round++) {
      for (const each of targets) {
        each.one.push(await load(stage, { ...loadOf(each), connections: 1, seconds: SECONDS }));
        const before = cpuMs(each.pid);
        const many = await load(stage, {
          ...loadOf(each),
          connections: PARALLEL,
          seconds: SECONDS,
        });
        each.many.push(many);
        each.cpuUs.push(((cpuMs(each.pid) - before) * 1_000) / many.requests);
      }
    }
    const errors = targets.flatMap(({ one, many }) => [...one, ...many]).map((it) => it.errors);
    if (errors.some((count) => count > 0)) throw new Error(`failed requests: ${errors}`);
    return reportOf({ direct, nginx, ours, others }, left);
  },
};

const loadOf = ({ url, headers }: Target) => ({ url, headers, body: BODY });

async function expectSameAnswer(asked: Promise<{ data: unknown }>): Promise<void> {
  const { data } = await asked;
  if (JSON.stringify(data) !== STUB_ANSWER) throw new Error(`not the stub's answer: ${data}`);
}

/** The floor under any gateway on this runtime. */
async function startBare(stage: Stage, target: string) {
  const file = join(import.meta.dirname, "load", "bare-proxy.ts");
  const program = stage.start([process.execPath, file, target], { cpu: GATEWAY_CPU });
  const [, url = ""] = await program.printed(/listening (\S+)/);
  return { ...program, url };
}

async function startFastify(stage: Stage, target: string) {
  const file = join(COMPARATORS, "fastify-proxy.mjs");
  const program = stage.start(["node", file, target], { cpu: GATEWAY_CPU });
  const [, port] = await program.printed(/listening (\d+)/);
  return { ...program, url: `http://127.0.0.1:${port}` };
}

function reportOf(
  {
    direct,
    nginx,
    ours,
    others,
  }: Record<"direct" | "nginx" | "ours", Target> & {
    others: readonly Target[];
  },
  left: string | undefined,
): Report {
  const added = (target: Target) =>
    target.one.map(({ p50Us }, round) => p50Us - (direct.one[round]?.p50Us ?? Number.NaN));
  const toNginx = added(ours).map((us, round) => us / (added(nginx)[round] ?? Number.NaN));
  const perSecond = (target: Target) => target.many.map((it) => it.perSecond);
  const share = (to: Target) =>
    perSecond(ours).map((rate, round) => rate / (perSecond(to)[round] ?? Number.NaN));
  return {
    tables: [
      {
        caption:
          `A POST answered with ${STUB_ANSWER.length} bytes of JSON by an nginx stub: median of ` +
          `${ROUNDS} rounds (least to most).`,
        head: [
          "through",
          "p50 at 1 connection, µs",
          "added to direct, µs",
          `requests/s at ${PARALLEL}`,
          `p99 at ${PARALLEL}, ms`,
          "processor time a request, µs",
        ],
        rows: [direct, nginx, ours, ...others].map((target) => [
          target.name,
          spread(target.one.map((it) => it.p50Us)),
          target === direct ? "–" : spread(added(target)),
          spread(perSecond(target)),
          spread(
            target.many.map((it) => it.p99Us / 1e3),
            1,
          ),
          spread(target.cpuUs),
        ]),
      },
    ],
    verdicts: [
      {
        goal: "added p50, to what nginx adds",
        kind: "most",
        limit: 1.6,
        measured: median(toNginx),
        unit: "×",
        digits: 2,
      },
      {
        goal: "requests per second, to nginx",
        kind: "least",
        limit: 0.35,
        measured: median(share(nginx)),
        unit: "×",
        digits: 2,
      },
      ...others
        .filter(({ name }) => name === FASTIFY)
        .map((other) => ({
          goal: `requests per second, to ${other.name}`,
          kind: "least" as const,
          limit: 3,
          measured: median(share(other)),
          unit: "×",
          digits: 2,
        })),
    ],
    notes: [
      "Through the gateway: key, rate limit (unlimited), validation of the body, envelope, request " +
        "id, and a checked answer. nginx only passes bytes on.",
      ...(left === undefined ? [] : [`@fastify/http-proxy was skipped: it ${left}.`]),
    ],
    raw: { direct, nginx, ours, others },
  };
}
