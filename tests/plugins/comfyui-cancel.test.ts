import { describe, expect, test } from "bun:test";
import plugin from "../../plugins/comfyui/plugin.ts";
import { contextOf, failure, jobOf, run, startFake, until } from "./comfyui-cases.ts";

const soon = () => AbortSignal.timeout(5_000);

describe.each([
  ["of today", {}],
  ["before 2025-12", { noJobsApi: true, noCancelApi: true }],
])("cancelling on a server %s", (_, options) => {
  test("stops a running prompt, and ends when nothing runs any more", async () => {
    const fake = await startFake(options);
    const context = contextOf(fake.url);
    const job = jobOf({ prompt: "a cat hang" });
    const end = failure(run(job, context));
    await until(() => job.previews.length > 0, "the sampler runs");
    expect(await plugin.health(context, soon())).toMatchObject({ busy: true });
    await job.cancel();
    expect((await end).message).toBe("the job was cancelled");
    expect(await plugin.health(context, soon())).toMatchObject({ busy: false });
    expect(fake.stopped).toBe(true);
    expect(job.stopErrors).toEqual([]);
  });

  test("takes a waiting prompt out of the queue and leaves the running one alone", async () => {
    const fake = await startFake(options);
    const context = contextOf(fake.url);
    const other = jobOf({ prompt: "a dog hang" });
    const first = failure(run(other, context));
    await until(() => fake.executions.has(other.id), "the other job runs");
    const job = jobOf({});
    const end = failure(run(job, context));
    await until(() => job.steps.has("submit"), "the job waits");
    await job.cancel();
    await end;
    expect(fake.executions.has(job.id)).toBe(false);
    expect(await plugin.health(context, soon())).toMatchObject({ busy: true });
    await other.cancel();
    await first;
  });

  test("waits for a node that does not look, and drops its result", async () => {
    const fake = await startFake({ ...options, stepMs: 10 });
    const context = contextOf(fake.url);
    const job = jobOf({ prompt: "a cat steps=30 uninterruptible" });
    let settled = false;
    const end = failure(run(job, context)).finally(() => {
      settled = true;
    });
    await until(() => job.previews.length > 0, "the sampler runs");
    await job.cancel();
    expect(settled).toBe(false);
    await end;
    expect(fake.files.size).toBe(1);
    expect(job.artifacts).toHaveLength(0);
    expect(await plugin.health(context, soon())).toMatchObject({ busy: false });
  });
});

test("A job cancelled before its submission ends is stopped in ComfyUI too", async () => {
  const fake = await startFake();
  const context = contextOf(fake.url);
  const job = jobOf({ prompt: "hang" });
  const end = failure(run(job, context));
  const thaw = fake.freeze();
  await until(() => fake.calls.includes("POST /prompt"), "the submission is under way");
  const cancelled = job.cancel();
  thaw();
  await Promise.all([cancelled, end]);
  expect(await plugin.health(context, soon())).toMatchObject({ busy: false });
  expect(job.artifacts).toHaveLength(0);
});

test("A job that somebody cancels in ComfyUI itself fails and is not worth a retry", async () => {
  const fake = await startFake();
  const job = jobOf({ prompt: "hang" });
  const end = failure(run(job, contextOf(fake.url)));
  await until(() => fake.executions.has(job.id), "the prompt runs");
  await fetch(`${fake.url}/interrupt`, { method: "POST", body: "{}" });
  expect(await end).toMatchObject({ code: "BACKEND_REJECTED" });
});

test("A gateway that stops leaves the prompt to its successor", async () => {
  const fake = await startFake({ stepMs: 10 });
  const context = contextOf(fake.url);
  const stopping = new AbortController();
  const first = { ...jobOf({ prompt: "a cat steps=50" }), signal: stopping.signal };
  const stops: (() => Promise<unknown>)[] = [];
  const end = failure(run({ ...first, onCancel: (stop) => void stops.push(stop) }, context));
  await until(() => first.previews.length > 0, "the sampler runs");
  stopping.abort(Object.assign(new Error("stopping"), { code: "SHUTTING_DOWN" }));
  await Promise.all(stops.map((stop) => stop()));
  await end;
  const second = jobOf(first.input, { id: first.id, attempt: 2, steps: first.steps });
  await run(second, context);
  expect(second.artifacts).toHaveLength(1);
  expect(fake.executions.get(first.id)).toBe(1);
});

describe("a dead worker behind a living server", () => {
  test("gives no sign of life, which is what the stall watchdog looks for", async () => {
    const fake = await startFake();
    const context = contextOf(fake.url);
    const job = jobOf({ prompt: "crash" });
    const end = failure(run(job, context));
    await until(() => job.previews.length > 1, "the worker dies in its second step");
    const before = job.progressed.length;
    const asked = fake.calls.length;
    await until(() => fake.calls.length > asked + 1, "the job is still asked for");
    expect(job.progressed.length).toBe(before);
    expect(await plugin.health(context, soon())).toMatchObject({ status: "ready", busy: true });
    const cancelled = job.cancel();
    // What the operator, or the process supervisor, does next.
    fake.restart();
    await Promise.all([cancelled, end]);
  });

  test("lets no waiting job look alive either", async () => {
    const fake = await startFake({ workerDead: true });
    const job = jobOf({});
    const end = failure(run(job, contextOf(fake.url)));
    await until(() => fake.calls.length > 3, "the job is asked for");
    expect(job.progressed).toEqual([]);
    await job.cancel();
    await end;
    expect(fake.executions.size).toBe(0);
  });
});

describe("freeing memory", () => {
  test("unloads the models and waits until that shows", async () => {
    const fake = await startFake();
    const context = contextOf(fake.url);
    await run(jobOf({}), context);
    expect(fake.loaded.size).toBe(1);
    await plugin.free?.(context, "sd_xl_base_1.0.safetensors", soon());
    expect(fake.loaded.size).toBe(0);
    expect(fake.calls).toContain("POST /free");
  });

  test("gives up on the caller's signal while a prompt holds the memory", async () => {
    const fake = await startFake();
    const context = contextOf(fake.url);
    const job = jobOf({ prompt: "hang" });
    const end = failure(run(job, context));
    await until(() => fake.loaded.size > 0, "a model is loaded");
    const signal = AbortSignal.timeout(200);
    expect(await failure(plugin.free?.(context, "x", signal))).toMatchObject({
      name: "TimeoutError",
    });
    await job.cancel();
    await end;
    await until(() => fake.loaded.size === 0, "the memory is freed after the prompt");
  });
});

describe("the models", () => {
  test("are the files that ComfyUI lists, with the workflows that take them", async () => {
    const fake = await startFake();
    expect(await plugin.models?.(contextOf(fake.url), soon())).toEqual(MODELS);
  });

  test("are read from the nodes on a server that has no list of files", async () => {
    const fake = await startFake({ noModelsApi: true });
    expect(await plugin.models?.(contextOf(fake.url), soon())).toEqual(MODELS);
  });

  const of = (name: string, kind: string, workflows: string[]) => ({ name, kind, workflows });
  const MODELS = [
    of("sd_xl_base_1.0.safetensors", "checkpoints", ["sdxl-img2img", "sdxl"]),
    of("v1-5-pruned-emaonly.safetensors", "checkpoints", ["sdxl-img2img", "sdxl"]),
    of("flux1-dev.safetensors", "diffusion_models", ["flux-dev", "z-image-turbo"]),
    of("z_image_turbo_bf16.safetensors", "diffusion_models", ["flux-dev", "z-image-turbo"]),
  ];
});

describe("the health", () => {
  test("names the version", async () => {
    const fake = await startFake({ version: "0.38.1" });
    const health = await plugin.health(contextOf(fake.url), soon());
    expect(health).toEqual({ status: "ready", version: "0.38.1", busy: false });
  });

  test("says when another program answers at the url", async () => {
    const pages = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
    const url = `http://127.0.0.1:${pages.port}`;
    const error = await failure(plugin.health(contextOf(url), soon()));
    expect(error).toMatchObject({ code: "BACKEND_MISMATCH" });
    expect(error.message).toBe(`What answers at ${url} is not ComfyUI; check the backend's url`);
    await pages.stop(true);
  });
});
