/** Answers and texts that are made to hold the gateway up: each is looked at in no time. */
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { definePlugin, type RestJob, restJob } from "switchyard/sdk";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import { evidenceAt } from "../../../core/sdk/detect/mod.ts";
import { filesOf } from "../../../core/sdk/gradio/files.ts";
import { createProgress as gradioProgress } from "../../../core/sdk/gradio/progress.ts";
import { partsOf } from "../../../core/sdk/rest-job/multipart.ts";
import { tailLog } from "../../../core/sdk/subprocess/log-tail.ts";
import { outputText } from "../../../core/sdk/subprocess/outputs.ts";
import { createProgress } from "../../../core/sdk/subprocess/progress.ts";
import { sectionsOf } from "../../../plugins/yue/lyrics.ts";
import { serve, stopServers } from "./server.ts";

afterEach(stopServers);

const shell = definePlugin({
  apiVersion: 1,
  name: "tested",
  version: "1.0.0",
  title: "Tested",
  summary: "Holds a transport.",
  config: {},
  capabilities: {},
  health: async () => ({ status: "ready" }),
});

/** Generous: without a bound each of these takes seconds to hours. */
function soon<T>(work: () => T): T {
  const began = performance.now();
  const result = work();
  expect(performance.now() - began).toBeLessThan(1_500);
  return result;
}

test("very many progress bars of a Gradio server", () => {
  const bars = Array.from({ length: 300_000 }, () => ({}));
  expect(soon(() => gradioProgress()(bars))).toEqual({ fraction: undefined, note: undefined });
});

test("very many values of a Gradio server, among which a file may be", () => {
  const file = { path: "/tmp/a.wav", meta: { _type: "gradio.FileData" } };
  const many = Array.from({ length: 2_000_000 }, () => ({}));
  expect(soon(() => filesOf([file, many]))).toHaveLength(1);
  expect(filesOf(Array.from({ length: 200 }, () => file))).toHaveLength(64);
});

test("a line of a program that looks like the start of a bar at every place", () => {
  const lines = Array.from({ length: 400 }, () => `${" ".repeat(4_095)}x`);
  const progress = createProgress();
  expect(soon(() => lines.map((line) => progress.line(line)).filter(Boolean))).toEqual([]);
  const bar = "Generating:  40%|####      | 4/10 [00:01<00:02,  2.0it/s]";
  expect(progress.line(bar)).toEqual({ fraction: 0.4, stage: undefined });
});

test("lyrics whose label is followed by nothing but space", () => {
  const lyrics = `[verse]${" ".repeat(19_000)}x\u2028y`;
  soon(() => Array.from({ length: 25 }, () => sectionsOf(lyrics)));
  expect(sectionsOf("[Verse 1]  late train \n[x]")).toEqual([
    { label: "verse", text: "late train" },
    { label: "x", text: "" },
  ]);
});

test("names in a server's description that are no names, or very long ones", async () => {
  const name = "n".repeat(100_000);
  const parameters = [{ parameter_name: { toString: 1 } }, { parameter_name: "prompt" }];
  const server = serve(({ url }) =>
    Response.json(
      url.endsWith("/config")
        ? { version: name, title: name, dependencies: [] }
        : { named_endpoints: { [`/${name}`]: { parameters } } },
    ),
  );
  const wanted = { pages: [], sockets: [] };
  const { gradio, summary } = await evidenceAt(server.http, wanted, AbortSignal.timeout(5_000));
  expect(gradio?.endpoints).toEqual({ [`/${name}`]: ["", "prompt"] });
  expect(summary.length).toBeLessThan(300);
});

const rest: RestJob<object, object> = {
  title: "Server",
  submit: { path: "/jobs", id: "$.id" },
  status: {
    ...{ path: "/jobs/{{id}}", field: "$.status", running: ["running"], done: ["done"] },
    ...{ progress: { field: "$.progress" }, owner: "$.owner", intervalMs: 10 },
  },
  result: { path: "/out", kind: "bytes" },
  health: { path: "/" },
};
const odd = { toString: 1, valueOf: 1 };

function restRun(answer: (method: string, path: string) => unknown): Promise<any> {
  const server = serve(({ method, url }) => {
    const given = answer(method, new URL(url).pathname);
    return given instanceof Response ? given : Response.json(given);
  });
  const ctx = createTestContext(shell, server.baseUrl, {});
  return Promise.resolve(restJob(rest).run(createTestJob({}), ctx));
}

test.each<[string, unknown, unknown]>([
  ["an id with half a character", "\ud83d", {}],
  ["a status that is an object", "7", { status: odd }],
])("%s is the server's fault, not ours", async (_what, id, status) => {
  const error = await restRun((method) => (method === "POST" ? { id } : status)).catch(Object);
  expect(["BACKEND_BAD_OUTPUT", "BACKEND_MISMATCH"]).toContain(error.code);
});

test("progress and an owner that are objects do no harm", async () => {
  let asked = 0;
  const output = await restRun((method, path) => {
    if (method === "POST") return { id: "7" };
    if (path === "/out") return new Response("RIFF");
    asked += 1;
    return asked === 1 ? { status: "running", progress: odd } : { status: "running", owner: odd };
  });
  expect(output).toMatchObject({ files: [expect.any(String)] });
});

test("a multipart boundary of kilobytes", async () => {
  const headers = { "content-type": `multipart/mixed; boundary=${"b".repeat(5_000)}` };
  const parts = partsOf(new Response("--b", { headers }));
  await expect(parts.next()).rejects.toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
});

test("a log of gigabytes that was written while nobody looked", () => {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-log-"));
  try {
    const path = join(folder, "run.log");
    writeFileSync(path, "");
    truncateSync(path, 4 * 1024 ** 3);
    let lines = 0;
    soon(() => tailLog(path).read(() => void lines++));
    expect(lines).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a text of a program that is a link, or lies behind one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-out-"));
  try {
    const out = join(folder, "out");
    mkdirSync(join(out, "song"), { recursive: true });
    writeFileSync(join(folder, "secret"), "secret");
    writeFileSync(join(out, "song", "score.abc"), "X:1");
    symlinkSync(join(folder, "secret"), join(out, "song", "link.abc"));
    symlinkSync(folder, join(out, "outside"));
    writeFileSync(join(out, "large"), Buffer.alloc(2 * 1024 ** 2));
    expect(await outputText(out, "song/score.abc")).toBe("X:1");
    for (const name of ["song/link.abc", "outside/secret", "../secret", "none", "large", "song"]) {
      expect([name, await outputText(out, name)]).toEqual([name, undefined]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
