/**
 * REL-14: backends that misbehave. Each fault ends in its class of reliability's taxonomy and in
 * time, costs little memory, tells no key to anybody, and leaves the backend usable.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type FakeComfyUI, startFakeComfyUI } from "../fakes/comfyui.ts";
import { type Fault, type FaultyServer, startFaultyServer } from "../fakes/faulty-server.ts";
import { type FakeOllama, startFakeOllama } from "../fakes/ollama.ts";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";

/** Silence that a backend is allowed here; 10 minutes are the default. */
const STALL_MS = 1_200;
const SLACK_MS = 1_000;
const MEMORY_MIB = 32;
/** Memory that grows by no more from one time around to the next is level. */
const LEVEL_MIB = 1;
const MAX_WARM_UPS = 8;
const CREDENTIAL = "the-operators-own-credential";

type Place = "submit" | "poll" | "download" | "socket" | "generate" | "embed";
/** Code of the first failed attempt, or "completed". */
type Outcomes = Partial<Record<Fault, string>>;

const ANSWER: Outcomes = {
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
const JSON_ANSWER: Outcomes = {
  ...ANSWER,
  "cut-json": "BACKEND_BAD_OUTPUT",
  "garbage-json": "BACKEND_BAD_OUTPUT",
  html: "BACKEND_BAD_OUTPUT",
  "large-json": "BACKEND_BAD_OUTPUT",
  "error-in-200": "BACKEND_FAILED",
};
/** Asking how far a job is may fail for a while; it is the silence that ends the attempt. */
const POLLED = ["hang-before-headers", "reset", "garbage-json", "html", "redirect", "gzip-bomb"];

const MATRIX: Readonly<Record<Place, Outcomes>> = {
  submit: { ...JSON_ANSWER, "wrong-type": "BACKEND_BAD_OUTPUT" },
  poll: Object.fromEntries(POLLED.map((fault) => [fault, "STALLED"])),
  download: {
    ...ANSWER,
    "cut-chunked": "BACKEND_LOST",
    "short-png": "BACKEND_BAD_OUTPUT",
    html: "BACKEND_BAD_OUTPUT",
    "wrong-type": "BACKEND_BAD_OUTPUT",
  },
  socket: { "silent-socket": "completed", reset: "completed", html: "completed" },
  generate: {
    ...JSON_ANSWER,
    "cut-chunked": "BACKEND_LOST",
    "split-utf8": "completed",
    "duplicate-final": "completed",
  },
  embed: { ...JSON_ANSWER, "wrong-type": "BACKEND_BAD_OUTPUT" },
};

const MATCHES: Readonly<Record<Place, (path: string, method: string) => boolean>> = {
  submit: (path, method) => path === "/prompt" && method === "POST",
  poll: (path, method) => /^\/(api\/jobs|history|queue)/.test(path) && method === "GET",
  download: (path) => path === "/view",
  socket: (path) => path === "/ws",
  generate: (path) => path === "/api/generate",
  embed: (path) => path === "/api/embed",
};

interface Case {
  readonly name: string;
  readonly place: Place;
  readonly fault: Fault;
  readonly outcome: string;
  readonly server: FaultyServer;
  broken: boolean;
}

const isPainted = (place: Place) => !["generate", "embed"].includes(place);

describe("REL-14, backends that misbehave", () => {
  const cases: Case[] = [];
  const folder = temporaryFolder();
  let comfyui: FakeComfyUI;
  let ollama: FakeOllama;
  let gateway: Gateway;
  let peakMiB = 0;
  let baseMiB = 0;
  let sampler: ReturnType<typeof setInterval>;

  beforeAll(async () => {
    comfyui = await startFakeComfyUI();
    ollama = await startFakeOllama();
    for (const [place, outcomes] of Object.entries(MATRIX) as [Place, Outcomes][]) {
      for (const [fault, outcome] of Object.entries(outcomes) as [Fault, string][]) {
        const matches = MATCHES[place];
        const one: Omit<Case, "server"> & { server?: FaultyServer } = {
          name: `${place}-${fault}`,
          place,
          fault,
          outcome,
          broken: false,
        };
        one.server = await startFaultyServer(fault, {
          match: (path, method) => one.broken && matches(path, method),
          otherwise: isPainted(place) ? comfyui.url : ollama.url,
        });
        cases.push(one as Case);
      }
    }
    const backends = cases.map(({ name, place, server }, index) => {
      const use = isPainted(place) ? "comfyui" : "ollama";
      const headers = `{ Authorization: ${CREDENTIAL} }`;
      // A socket that never says goodbye is waited for, for two seconds.
      const stall = place === "socket" ? ", stall_timeout_ms: 5000" : "";
      const where = `url: "${server.url}", device: d${index}${stall}`;
      return `  ${name}: { use: ${use}, ${where}, headers: ${headers} }`;
    });
    const devices = cases.map((_, index) => `d${index}: {}`).join(", ");
    const config = `devices: { ${devices} }
jobs: { stall_timeout_ms: ${STALL_MS}, attempt_timeout_ms: 6000, cancel_grace_ms: 300 }
auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }
health: { interval_ms: 60000 }
backends:
${backends.join("\n")}
`;
    gateway = await startGateway({ folder, config });
    await eventually("all backends are ready", async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.every(({ status }: any) => status === "ready" || status === "busy");
    });
    // In good order, until memory stays level: what is measured is the faults, not the first use.
    for (let around = 0, before = 0; around < MAX_WARM_UPS; around++) {
      await inGroups(cases, expectGood);
      baseMiB = residentMiB(gateway.child.pid!);
      if (baseMiB - before <= LEVEL_MIB) break;
      before = baseMiB;
    }
    const samples = () => {
      peakMiB = Math.max(peakMiB, residentMiB(gateway.child.pid!));
    };
    sampler = setInterval(samples, 20);
  }, 60_000);

  afterAll(async () => {
    clearInterval(sampler);
    await gateway.remove();
    await Promise.all(cases.map(({ server }) => server.stop()));
    await comfyui.stop();
    await ollama.stop();
  });

  function submit({ name, place }: Case) {
    const size = { width: 512, height: 512 };
    if (isPainted(place)) {
      const body = { prompt: `${crypto.randomUUID()} steps=2`, backend: name, ...size };
      return gateway.call("POST", "/generate/image", body);
    }
    return place === "embed"
      ? gateway.call("POST", "/llm/embed", { texts: ["a"], backend: name })
      : gateway.call("POST", "/llm/generate", { prompt: "steps=2", backend: name });
  }

  async function expectGood(one: Case): Promise<void> {
    one.broken = false;
    const { status, data, text } = await submit(one);
    expect([one.name, status, status === 202 ? "" : text]).toEqual([one.name, 202, ""]);
    const job = await gateway.ended(data.job_id, 10_000);
    expect([one.name, job.status, job.error]).toEqual([one.name, "completed", null]);
  }

  /** The code of the job's first failed attempt, from the log, or how it ended. */
  async function firstOutcome(id: string): Promise<string> {
    return eventually(`an outcome of ${id}`, async () => {
      const lines = gateway.output().split("\n");
      const line = lines.find((each) => each.includes("an attempt failed") && each.includes(id));
      if (line) return JSON.parse(line).code;
      const { data } = await gateway.call("GET", `/jobs/${id}`);
      return data.status === "completed" && "completed";
    });
  }

  async function run(one: Case): Promise<{ outcome: string; tookMs: number; id: string }> {
    one.broken = true;
    const before = performance.now();
    const { data } = await submit(one);
    const outcome = await firstOutcome(data.job_id);
    return { outcome, tookMs: performance.now() - before, id: data.job_id };
  }

  for (const place of Object.keys(MATRIX) as Place[]) {
    test(`${place}: ${Object.keys(MATRIX[place]).join(", ")}`, async () => {
      const here = cases.filter((one) => one.place === place);
      await inGroups(here, async (one) => {
        const { outcome, tookMs, id } = await run(one);
        expect([one.name, outcome]).toEqual([one.name, one.outcome]);
        const waitsMs = { STALLED: STALL_MS, completed: 4_000 }[outcome] ?? 500;
        expect([one.name, tookMs < waitsMs + SLACK_MS]).toEqual([one.name, true]);
        expect(one.server.calls.length).toBeGreaterThan(0);
        const { data } = await gateway.call("GET", `/jobs/${id}`);
        if (one.fault === "split-utf8") expect(data.output.text).toBe("naïve 🚂");
        if (one.fault === "duplicate-final") expect(data.output.text).toBe("a");
        await gateway.call("DELETE", `/jobs/${id}`);
        // The lease is free again, and the backend as good as before.
        await expectGood(one);
      });
    }, 60_000);
  }

  test("no key, ours or the operator's, reached the host that a redirect named", () => {
    for (const { server } of cases) {
      expect(server.canary).toEqual([]);
      for (const head of server.heads) expect(head).not.toContain(gateway.key);
    }
    const redirected = cases.filter(({ fault }) => fault === "redirect");
    for (const { server } of redirected) expect(server.heads.join()).toContain(CREDENTIAL);
    expect(gateway.output()).not.toContain(gateway.key);
    expect(gateway.output()).not.toContain(CREDENTIAL);
  });

  test(`the gateway grew by less than ${MEMORY_MIB} MiB`, () => {
    console.log(`REL-14: ${cases.length} faults, ${baseMiB} MiB before, ${peakMiB} MiB at most`);
    expect(peakMiB - baseMiB).toBeLessThan(MEMORY_MIB);
  });
});

/** Six at a time: each shall have its time, on a small machine too. */
async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += 6) {
    await Promise.all(items.slice(start, start + 6).map(work));
  }
}

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
