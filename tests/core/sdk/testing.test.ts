/** The test job and context behave as the kernel's do, so that what passes here works there. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { BackendError, definePlugin, t } from "switchyard/sdk";
import { createTestContext, createTestJob, readBehaviour } from "switchyard/sdk/testing";

test("a prompt's words steer a fake", () => {
  expect(readBehaviour("a cat")).toEqual({
    steps: 3,
    fail: false,
    oom: false,
    hang: false,
    nullOutput: false,
    slowStart: false,
  });
  expect(readBehaviour("a cat, steps=12 slow-start oom.")).toMatchObject({
    steps: 12,
    slowStart: true,
    oom: true,
  });
  expect(readBehaviour("failure of a hanging bridge")).toMatchObject({ fail: false, hang: false });
});

test("artifacts are kept with their bytes, size and digest; an empty one is refused", async () => {
  const job = createTestJob({});
  const text = "RIFF";
  for (const body of [
    new TextEncoder().encode(text),
    new Blob([text]),
    new Response(text),
    new Response(text).body!,
  ]) {
    const artifact = await job.artifact(body, { name: "a.wav", mediaType: "audio/wav" });
    const sha256 = createHash("sha256").update(text).digest("hex");
    expect(artifact).toMatchObject({ name: "a.wav", mediaType: "audio/wav", sizeBytes: 4, sha256 });
  }
  expect(job.artifacts).toHaveLength(4);
  expect(new TextDecoder().decode(job.artifacts[3]?.bytes)).toBe(text);
  const empty = await job.artifact(new Blob([]), { name: "b.wav" }).catch((error) => error);
  expect(BackendError.is(empty) && empty.code).toBe("BACKEND_BAD_OUTPUT");
  expect(job.storing).toBe(0);
});

test("a step runs once, also over a restart, and gives what JSON keeps", async () => {
  const first = createTestJob({});
  let ran = 0;
  const work = async () => ({ id: `job-${++ran}`, at: new Date(0), none: undefined });
  const kept = { id: "job-1", at: "1970-01-01T00:00:00.000Z" };
  const read: unknown[] = [await first.step("submit", work), await first.step("submit", work)];
  const again = createTestJob({}, { steps: first.steps, attempt: 2 });
  read.push(await again.step("submit", work));
  expect(read).toEqual([kept, kept, kept]);
  expect(ran).toBe(1);
  expect(again.attempt).toBe(2);
});

test("a step that failed, or ended after the cancel, is not kept", async () => {
  const job = createTestJob({});
  await job.step("a", () => Promise.reject(new Error("no"))).catch(() => {});
  const late = job.step("b", async () => {
    await job.cancel();
    return 1;
  });
  expect(String(await late.catch((error) => error))).toContain("cancelled");
  expect(job.steps.size).toBe(0);
});

test("a cancel aborts first, then stops once, also what registers later", async () => {
  const job = createTestJob({});
  const order: string[] = [];
  job.signal.addEventListener("abort", () => order.push("abort"));
  job.onCancel(async () => void order.push("stop"));
  job.onCancel(() => Promise.reject(new Error("stop failed")));
  await job.cancel();
  await job.cancel();
  job.onCancel(async () => void order.push("late stop"));
  expect(order).toEqual(["abort", "stop", "late stop"]);
  expect(job.stopErrors.map(String)).toEqual(["Error: stop failed"]);
});

test("progress, tokens and previews are recorded in order", () => {
  const job = createTestJob({});
  job.progress(0.5, "sampling");
  job.progress(undefined);
  job.emit("Hel");
  job.emit("lo");
  job.preview(new Uint8Array([1]), "image/jpeg");
  expect(job.progressed).toEqual([{ fraction: 0.5, note: "sampling" }, { fraction: undefined }]);
  expect(job.emitted.join("")).toBe("Hello");
  expect(job.previews).toEqual([{ image: new Uint8Array([1]), mediaType: "image/jpeg" }]);
});

const plugin = definePlugin({
  apiVersion: 1,
  name: "quiet",
  version: "1.0.0",
  title: "Quiet",
  summary: "Says nothing.",
  config: { volume: t.Integer({ default: 3, minimum: 0 }) },
  capabilities: {},
  health: async () => ({ status: "ready" }),
});

test("a context has checked settings with their defaults, and a log to read", async () => {
  const ctx = createTestContext(plugin);
  expect(ctx.config).toEqual({ volume: 3 });
  ctx.log.warn("too loud", { volume: 11 });
  expect(ctx.logged).toEqual([{ level: "warn", message: "too loud", fields: { volume: 11 } }]);
  expect(createTestContext(plugin, "http://127.0.0.1:1/x/", { volume: 0 }).http.baseUrl).toBe(
    "http://127.0.0.1:1/x",
  );
  expect(() => createTestContext(plugin, undefined, { volume: -1 })).toThrow(/volume/);
  expect(() => createTestContext(plugin, undefined, { loudness: 1 })).toThrow(/loudness/);
});

test("a call to another plugin is answered by the test, or fails", async () => {
  const call = async (capability: string, input: unknown) => ({ capability, input });
  const ctx = createTestContext(plugin, undefined, {}, { call });
  const answer = await ctx.call<unknown>("text.embed", { texts: ["a"] });
  expect(answer).toEqual({ capability: "text.embed", input: { texts: ["a"] } });
  const alone = await createTestContext(plugin)
    .call("text.embed", {})
    .catch((error) => error);
  expect(String(alone)).toContain("text.embed");
});
