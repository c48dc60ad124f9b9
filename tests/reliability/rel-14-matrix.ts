/**
 * REL-14: protocols of backends × places in them × faults. Each fault ends in its class of
 * reliability's taxonomy and in time, costs little memory, tells no key to anybody, and leaves the
 * backend usable. The tables of expected classes that several protocols share stand here too.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type Fault, type FaultyServer, startFaultyServer } from "../fakes/faulty-server.ts";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";

/** Silence that a backend is allowed here; 10 minutes are the default. */
const STALL_MS = 1_200;
const SLACK_MS = 1_000;
export const MEMORY_MIB = 32;
/** Memory that grows by no more from one time around to the next is level. */
const LEVEL_MIB = 3;
const MAX_WARM_UPS = 3;
/**
 * Bun collects its garbage the later the more memory a machine has, so that its own ups and downs
 * are larger than what is looked for. Told of 128 MiB it stays level.
 */
export const SMALL_HEAP = { BUN_JSC_forceRAMSize: String(128 * 1024 * 1024) };
/** Those that fall silent take no more than time. */
const WAITING_AT_ONCE = 20;
const WARM_AT_ONCE = 30;
const CREDENTIAL = "the-operators-own-credential";

/** Code of the first failed attempt, or "completed". */
export type Outcomes = Partial<Record<Fault, string>>;

/** One kind of request to the server, and what each fault of it must lead to. */
export interface Place {
  readonly match: (path: string, method: string, body: string, query: string) => boolean;
  readonly outcomes: Outcomes;
  /** Instead of the protocol's own. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** More settings of the backend, as YAML: "key: value, …". */
  readonly settings?: string;
  /**
   * The server may compute, and is asked until that is known: the slot is kept until a call that
   * hangs has reached its own limit. That takes longer than a test does, so the server is killed.
   */
  readonly keepsSlot?: true;
  /** Only the first such request is broken: what the plugin does next shall work. */
  readonly once?: true;
  /** Longest wait for an outcome; the silence that is allowed, or 4 s for a good one. */
  readonly limitMs?: number;
  /** Of the healthy server, before the fault: so that it is asked what it is not asked each time. */
  readonly before?: (server: never) => void;
  /** What the job's output must be. */
  readonly output?: (fault: Fault, output: any) => void;
}

interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

export interface Protocol {
  start(): Promise<Server>;
  /** Of the backend, as YAML: "use: name, …". */
  readonly settings: string;
  /** Under which work is asked for. */
  readonly route: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly places: Readonly<Record<string, Place>>;
}

/** Any answer, also of a file. */
export const ANSWER: Outcomes = {
  "hang-before-headers": "STALLED",
  "hang-mid-body": "STALLED",
  drip: "STALLED",
  reset: "BACKEND_UNREACHABLE",
  redirect: "BACKEND_MISMATCH",
  "not-http": "BACKEND_MISMATCH",
  unauthorized: "BACKEND_UNAUTHORIZED",
  busy: "BACKEND_BUSY",
  "server-error": "BACKEND_FAILED",
  "out-of-memory": "OUT_OF_MEMORY",
  "gzip-bomb": "BACKEND_BAD_OUTPUT",
};
export const JSON_ANSWER: Outcomes = {
  ...ANSWER,
  "cut-json": "BACKEND_BAD_OUTPUT",
  "garbage-json": "BACKEND_BAD_OUTPUT",
  html: "BACKEND_BAD_OUTPUT",
  "large-json": "BACKEND_BAD_OUTPUT",
  "error-in-200": "BACKEND_FAILED",
  "wrong-type": "BACKEND_BAD_OUTPUT",
};
/** A sound that is to be stored. */
export const SOUND: Outcomes = {
  ...ANSWER,
  "short-wav": "BACKEND_BAD_OUTPUT",
  "cut-wav": "BACKEND_BAD_OUTPUT",
  html: "BACKEND_BAD_OUTPUT",
  empty: "BACKEND_BAD_OUTPUT",
};

export function all(faults: readonly Fault[], code: string): Outcomes {
  return Object.fromEntries(faults.map((fault) => [fault, code]));
}

/** Some of them, where another protocol of the same adapter has them all. */
export function some(outcomes: Outcomes, faults: readonly Fault[]): Outcomes {
  return Object.fromEntries(faults.map((fault) => [fault, outcomes[fault]]));
}

interface Case {
  readonly name: string;
  readonly protocol: Protocol;
  readonly place: Place;
  readonly fault: Fault;
  readonly healthy: Server;
  readonly front: FaultyServer;
  broken: boolean;
}

/** Begins a test for each protocol, and two for what all have in common. */
export function testMatrix(title: string, protocols: Readonly<Record<string, Protocol>>): void {
  describe(title, () => {
    const cases: Case[] = [];
    let gateway: Gateway;
    let sampler: ReturnType<typeof setInterval>;
    let peakMiB = 0;
    let baseMiB = 0;

    beforeAll(async () => {
      cases.push(...(await Promise.all(casesOf(protocols).map(open))));
      const folder = temporaryFolder();
      gateway = await startGateway({ folder, config: configOf(cases), env: SMALL_HEAP });
      // In good order, until memory stays level: what is measured is the faults, not the first use.
      for (let around = 0, before = 0; around < MAX_WARM_UPS; around++) {
        await inGroups(cases, expectGood, WARM_AT_ONCE);
        baseMiB = residentMiB(gateway.child.pid!);
        if (baseMiB - before <= LEVEL_MIB) break;
        before = baseMiB;
      }
      sampler = setInterval(() => {
        peakMiB = Math.max(peakMiB, residentMiB(gateway.child.pid!));
      }, 20);
    }, 60_000);

    afterAll(async () => {
      clearInterval(sampler);
      await gateway.remove();
      await Promise.all(cases.map(({ front }) => front.stop()));
      await Promise.all(cases.map(({ healthy }) => healthy.stop()));
    });

    function submit({ name, protocol, place }: Case) {
      const body = { ...protocol.body, ...place.body, backend: name };
      return gateway.call("POST", protocol.route, body);
    }

    async function expectGood(one: Case): Promise<void> {
      one.broken = false;
      const { status, data, text } = await submit(one);
      expect([one.name, status, status === 202 ? "" : text]).toEqual([one.name, 202, ""]);
      const job = await gateway.ended(data.job_id, 10_000);
      expect([one.name, job.status, job.error]).toEqual([one.name, "completed", null]);
    }

    async function run(one: Case): Promise<string> {
      const { place, fault } = one;
      one.broken = true;
      place.before?.(one.healthy as never);
      const before = performance.now();
      const { data } = await submit(one);
      const outcome = await firstOutcome(gateway, data.job_id);
      const tookMs = performance.now() - before;
      const waitsMs = place.limitMs ?? (outcome === "completed" ? 4_000 : STALL_MS);
      expect([one.name, tookMs < waitsMs + SLACK_MS]).toEqual([one.name, true]);
      expect([one.name, one.front.calls.length > 0]).toEqual([one.name, true]);
      const { data: job } = await gateway.call("GET", `/jobs/${data.job_id}`);
      place.output?.(fault, job.output);
      await gateway.call("DELETE", `/jobs/${data.job_id}`);
      one.broken = false;
      if (place.keepsSlot) one.front.release();
      // The lease is free again, and the backend as good as before.
      await expectGood(one);
      return outcome;
    }

    for (const [name, protocol] of Object.entries(protocols)) {
      const places = Object.entries(protocol.places);
      const count = places.reduce((sum, [, { outcomes }]) => sum + Object.keys(outcomes).length, 0);
      const named = places.map(([place]) => place).join(", ");
      test(`${name} (${named}): ${count} faults end in their class and in time`, async () => {
        // Those that wait go together, or each group would wait for one of them.
        const waits = ({ place, fault }: Case) => place.outcomes[fault] === "STALLED";
        const own = cases.filter((one) => one.protocol === protocol);
        const here = [...own.filter(waits), ...own.filter((one) => !waits(one))];
        const outcomes: Record<string, string> = {};
        const note = async (one: Case): Promise<void> => {
          outcomes[one.name] = await run(one);
        };
        await inGroups(here.filter(waits), note, WAITING_AT_ONCE);
        await inGroups(
          here.filter((one) => !waits(one)),
          note,
        );
        const wanted = here.map(({ name, place, fault }) => [name, place.outcomes[fault]]);
        expect(outcomes).toEqual(Object.fromEntries(wanted));
      }, 90_000);
    }

    test("no key, ours or the operator's, reached the host that a redirect named", () => {
      for (const { front } of cases) {
        expect(front.canary).toEqual([]);
        for (const head of front.heads) expect(head).not.toContain(gateway.key);
      }
      // Else the credential would be missing at the canary for another reason.
      for (const { fault, front } of cases) {
        if (fault === "redirect") expect(front.heads.join()).toContain(CREDENTIAL);
      }
      expect(gateway.output()).not.toContain(gateway.key);
      expect(gateway.output()).not.toContain(CREDENTIAL);
    });

    test(`the gateway grew by less than ${MEMORY_MIB} MiB`, () => {
      console.log(`REL-14: ${cases.length} faults, ${baseMiB} MiB before, ${peakMiB} MiB at most`);
      expect(peakMiB - baseMiB).toBeLessThan(MEMORY_MIB);
    });
  });
}

type Planned = Pick<Case, "name" | "protocol" | "place" | "fault">;

function casesOf(protocols: Readonly<Record<string, Protocol>>): Planned[] {
  return Object.entries(protocols).flatMap(([name, protocol]) =>
    Object.entries(protocol.places).flatMap(([at, place]) =>
      (Object.keys(place.outcomes) as Fault[]).map((fault) => {
        return { name: `${name}-${at}-${fault}`, protocol, place, fault };
      }),
    ),
  );
}

/** Each with a healthy server of its own: one that hangs must not hold up the others. */
async function open(planned: Planned): Promise<Case> {
  const { protocol, place, fault } = planned;
  const healthy = await protocol.start();
  const front = await startFaultyServer(fault, {
    match(...request) {
      const isPicked = one.broken && place.match(...request);
      if (isPicked && place.once) one.broken = false;
      return isPicked;
    },
    otherwise: healthy.url,
  });
  const one: Case = { ...planned, healthy, front, broken: false };
  return one;
}

function configOf(cases: readonly Case[]): string {
  const backends = cases.map(({ name, protocol, place, front }, index) => {
    const where = `url: "${front.url}", device: d${index}, when_down: queue`;
    const own = [protocol.settings, place.settings].filter((text) => text !== undefined);
    return `  ${name}: { ${own.join(", ")}, ${where}, headers: { Authorization: ${CREDENTIAL} } }`;
  });
  return `devices: { ${cases.map((_, index) => `d${index}: {}`).join(", ")} }
jobs: { stall_timeout_ms: ${STALL_MS}, attempt_timeout_ms: 6000, cancel_grace_ms: 300 }
auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }
health: { interval_ms: 60000 }
backends:
${backends.join("\n")}
`;
}

/** The code of the job's first failed attempt, from the log, or how it ended. */
export async function firstOutcome(gateway: Gateway, id: string): Promise<string> {
  return eventually(`an outcome of ${id}`, async () => {
    const lines = gateway.output().split("\n");
    const line = lines.find((each) => each.includes("an attempt failed") && each.includes(id));
    if (line) return JSON.parse(line).code;
    const { data } = await gateway.call("GET", `/jobs/${id}`);
    return data.status === "completed" && "completed";
  });
}

/** Ten at a time: each shall have its time, on a small machine too. */
export async function inGroups<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
  size = 10,
): Promise<void> {
  for (let start = 0; start < items.length; start += size) {
    await Promise.all(items.slice(start, start + size).map(work));
  }
}

export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
