/**
 * REL-02: the gateway is killed again and again under load, and no promise is broken. How often:
 * `SWITCHYARD_KILL_CYCLES`, 20 unless set.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { check, integrityOf } from "../checker.ts";
import { startFakeComfyUI } from "../fakes/comfyui.ts";
import { startFakeOllama } from "../fakes/ollama.ts";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";
import { type History, openHistory, readHistory } from "../history.ts";
import { workConfig } from "./plugins.ts";

const CYCLES = Number(process.env.SWITCHYARD_KILL_CYCLES ?? 20);
const SUBMITTERS = 8;
const READY_LIMIT_MS = 2_000;

describe("REL-02, kill -9", () => {
  const folder = temporaryFolder();
  const history = openHistory(join(folder, "history.jsonl"));
  const data = join(folder, "data");
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Of a copy, so that the gateway itself has to recover what was left behind. */
  function integrity(): string {
    const copy = join(folder, "copy");
    mkdirSync(copy, { recursive: true });
    for (const name of ["switchyard.db", "switchyard.db-wal"]) {
      rmSync(join(copy, name), { force: true });
      if (existsSync(join(data, name))) copyFileSync(join(data, name), join(copy, name));
    }
    rmSync(join(copy, "switchyard.db-shm"), { force: true });
    return integrityOf(join(copy, "switchyard.db"));
  }

  test(`${CYCLES} kills under ${SUBMITTERS} submitters: nothing lost, nothing twice`, async () => {
    const comfyui = [await startFakeComfyUI(), await startFakeComfyUI()];
    const ollama = await startFakeOllama();
    const more = `  paint: { use: comfyui, url: "${comfyui[0]!.url}", device: gpu0, when_down: queue }
  draw: { use: comfyui, url: "${comfyui[1]!.url}", device: gpu1, when_down: queue }
  write: { use: ollama, url: "${ollama.url}", device: gpu2, when_down: queue }
`;
    const settings = `auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }
devices: { gpu0: {}, gpu1: {}, gpu2: {} }
log: { level: error }`;
    const config = workConfig(folder, more, settings);
    let gateway: Gateway | undefined = await startGateway({ folder, config });
    const { key } = gateway;
    const other = await gateway.call("POST", "/auth/keys", { name: "other", preset: "client" });
    expect(other.status).toBe(201);
    const stranger: string = other.data.key;

    let busy = true;
    let count = 0;
    const submitters = Array.from({ length: SUBMITTERS }, async () => {
      while (busy) {
        const tag = `t${count++}`;
        if (gateway) await submitAndWatch(gateway, tag, history, stranger);
        await Bun.sleep(10 + Math.random() * 20);
      }
    });

    const readyMs: number[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      await Bun.sleep(20 + Math.random() * 380);
      const killed: Gateway = gateway!;
      gateway = undefined;
      await killed.stop("SIGKILL");
      expect(integrity()).toBe("ok");
      const before = performance.now();
      const next = await startGateway({ folder, config, useKey: key });
      await eventually(
        "it is ready",
        async () => (await next.call("GET", "/ready")).status === 200,
      );
      readyMs.push(performance.now() - before);
      gateway = next;
    }
    busy = false;
    await Promise.all(submitters);
    const last = gateway!;
    await eventually(
      "every job has ended",
      async () => {
        const open = await last.call("GET", "/jobs?status=pending,running&all=true&limit=1");
        return open.data.items.length === 0;
      },
      40_000,
    );
    expect(await last.stop()).toBe(0);
    await Promise.all([...comfyui, ollama].map((fake) => fake.stop()));

    const entries = readHistory(history.file);
    const { recovered, ...wrong } = check(entries, join(data, "switchyard.db"));
    const accepted = entries.filter(({ kind, operation }) => {
      return kind === "ok" && operation === "submit";
    }).length;
    const slowest = Math.max(...readyMs);
    console.log(
      `REL-02: ${CYCLES} kills, ${accepted} accepted, ${recovered.length} recovered, ` +
        `ready after at most ${Math.round(slowest)} ms`,
    );
    expect(wrong).toEqual({
      lost: [],
      duplicatedTerminal: [],
      unexpected: [],
      staleAccepted: [],
      eventGap: [],
      authLeak: [],
    });
    expect(accepted).toBeGreaterThan(CYCLES * SUBMITTERS);
    expect(slowest).toBeLessThan(READY_LIMIT_MS);
    expect(integrity()).toBe("ok");
  }, 180_000);
});

const KINDS: readonly [share: number, path: string, body: object][] = [
  [0.05, "/generate/image", { prompt: "steps=2", backend: "paint", width: 512, height: 512 }],
  [0.1, "/generate/image", { prompt: "steps=2", backend: "draw", width: 512, height: 512 }],
  [0.2, "/llm/generate", { prompt: "steps=3" }],
  [0.6, "/test/resume", { ms: 8, ticks: 2 }],
  [1, "/test/rerun", { ms: 8, bytes: 100 }],
];

/** One request and what a client does after it: sometimes cancels; a stranger tries to look. */
async function submitAndWatch(
  gateway: Gateway,
  tag: string,
  history: History,
  stranger: string,
): Promise<void> {
  const dice = Math.random();
  const [, path, body] = KINDS.find(([share]) => dice <= share)!;
  history.add({ kind: "invoke", operation: "submit", id: tag });
  const answer = await gateway.call("POST", path, { ...body, tag }).catch(() => undefined);
  if (answer?.status !== 202) {
    // A refusal has no effect; a connection that broke may have had one.
    const kind = answer ? "fail" : "info";
    return history.add({ kind, operation: "submit", id: tag, status: answer?.status });
  }
  const job = answer.data.job_id;
  history.add({ kind: "ok", operation: "submit", id: tag, job, status: 202 });
  if (Math.random() < 0.1) await gateway.call("DELETE", `/jobs/${job}`).catch(() => undefined);
  for (const key of [stranger, null]) {
    const seen = await gateway
      .call("GET", `/jobs/${job}`, undefined, { key })
      .catch(() => undefined);
    const kind = seen?.status === 200 ? "ok" : "fail";
    history.add({ kind, operation: "steal", id: tag, status: seen?.status });
  }
}
