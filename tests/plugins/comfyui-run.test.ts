import { describe, expect, test } from "bun:test";
import plugin from "../../plugins/comfyui/plugin.ts";
import { contextOf, failure, jobOf, pngSize, run, startFake, until } from "./comfyui-cases.ts";

describe("a job", () => {
  test("gives a picture of the asked size, with what made it", async () => {
    const fake = await startFake();
    const job = jobOf({ width: 96, height: 64, seed: 42 });
    const output = await run(job, contextOf(fake.url));
    const labels = {
      workflow: "sdxl",
      model: "sd_xl_base_1.0.safetensors",
      seed: 42,
      width: 96,
      height: 64,
    };
    expect(output).toEqual({ ...labels, files: [job.artifacts[0]!.url] });
    expect(job.artifacts).toHaveLength(1);
    expect(job.artifacts[0]).toMatchObject({ mediaType: "image/png", metadata: labels });
    expect(pngSize(job.artifacts[0]!.bytes)).toEqual({ width: 96, height: 64 });
  });

  test("is submitted under its own id, with a client id and a way to preview", async () => {
    const fake = await startFake();
    const job = jobOf({});
    await run(job, contextOf(fake.url, { preview_method: "taesd" }));
    expect(fake.prompts).toMatchObject([
      {
        prompt_id: job.id,
        client_id: `${job.id}-1`,
        extra_data: { preview_method: "taesd" },
        prompt: { "9": { inputs: { filename_prefix: `switchyard/${job.id}` } } },
      },
    ]);
  });

  test("without a seed gets one that is safe in JSON, its own, and the same after a crash", async () => {
    const fake = await startFake();
    const context = contextOf(fake.url);
    const seedOf = async (id: string) => {
      const job = jobOf({}, { id });
      await run(job, context);
      return job.artifacts[0]!.metadata.seed as number;
    };
    const [one, other] = [
      "0198c1de-0000-7000-8000-000000000001",
      "0198c1de-0000-7000-8000-000000000002",
    ];
    const first = await seedOf(one!);
    expect(Number.isSafeInteger(first)).toBe(true);
    expect(first).toBeGreaterThanOrEqual(0);
    expect(await seedOf(other!)).not.toBe(first);
    fake.restart();
    expect(await seedOf(one!)).toBe(first);
  });

  test("stores every picture of a batch", async () => {
    const fake = await startFake();
    const job = jobOf({ batch: 3 });
    await run(job, contextOf(fake.url));
    expect(new Set(job.artifacts.map(({ name }) => name)).size).toBe(3);
  });

  test("reports progress that never goes back and ends at 1", async () => {
    const fake = await startFake();
    const job = jobOf({ prompt: "a cat steps=10" });
    await run(job, contextOf(fake.url));
    const fractions = job.progressed.map(({ fraction }) => fraction ?? 0);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(fractions.at(-1)).toBe(1);
    expect(new Set(fractions).size).toBeGreaterThan(10);
    expect(job.progressed.map(({ note }) => note)).toContain("step 7 of 10");
  });

  test.each([{ plainPreviews: false }, { plainPreviews: true }])(
    "shows its own previews and nobody else's (%o)",
    async (options) => {
      const fake = await startFake(options);
      const job = jobOf({ prompt: "a cat steps=4" });
      // Without a client id its previews go to every socket.
      const foreign = { ...graphOf("a dog steps=9") };
      await fetch(`${fake.url}/prompt`, {
        method: "POST",
        body: JSON.stringify({ prompt: foreign }),
      });
      await run(job, contextOf(fake.url));
      expect(job.previews).toHaveLength(4);
      expect(job.previews[0]!.mediaType).toBe("image/jpeg");
      expect([...job.previews[0]!.image.slice(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
    },
  );

  test("waits for its turn and says so", async () => {
    const fake = await startFake();
    const other = jobOf({ prompt: "a dog hang" });
    const first = failure(run(other, contextOf(fake.url)));
    await until(() => fake.executions.has(other.id), "the other job runs");
    const job = jobOf({});
    const running = run(job, contextOf(fake.url));
    await until(() => job.progressed.length > 0, "a note about the queue");
    expect(job.progressed[0]).toEqual({
      fraction: undefined,
      note: "2 prompts in ComfyUI's queue",
    });
    await other.cancel();
    await first;
    await running;
    expect(job.artifacts).toHaveLength(1);
  });

  test("ends well without a WebSocket", async () => {
    const fake = await startFake({ noSockets: true });
    const job = jobOf({});
    await run(job, contextOf(fake.url));
    expect(job.artifacts).toHaveLength(1);
  });

  test("leaves no WebSocket open", async () => {
    const fake = await startFake();
    await run(jobOf({}), contextOf(fake.url));
    await until(() => fake.sockets === 0, "the socket is closed");
  });

  test("makes a new file although ComfyUI would give an unchanged graph its old one", async () => {
    const fake = await startFake();
    const context = contextOf(fake.url);
    const first = jobOf({ seed: 1 });
    await run(first, context);
    fake.deleteFiles();
    const second = jobOf({ seed: 1 });
    await run(second, context);
    expect(second.artifacts[0]!.name).not.toBe(first.artifacts[0]!.name);
    expect(second.artifacts[0]!.sha256).toBe(first.artifacts[0]!.sha256);
  });

  test("leaves out what was only a preview for ComfyUI's own user", async () => {
    const fake = await startFake();
    const graph = {
      ...graphOf("a cat"),
      "10": { class_type: "PreviewImage", inputs: { images: ["8", 0] } },
    };
    const job = jobOf({ graph, width: undefined, height: undefined });
    await run(job, contextOf(fake.url));
    expect(fake.files.size).toBe(2);
    expect(job.artifacts.map(({ name }) => name)).toEqual([`${job.id}_00001_.png`]);
  });
});

describe("a job fails", () => {
  const cases: [string, Record<string, unknown>, string, RegExp][] = [
    ["with a node's own words", { prompt: "fail" }, "BACKEND_FAILED", /KSampler: boom on purpose/],
    ["as out of memory", { prompt: "oom" }, "OUT_OF_MEMORY", /GPU memory in KSampler: Allocation/],
    ["when success has no file", { prompt: "null-output" }, "BACKEND_BAD_OUTPUT", /no file/],
    [
      "naming the model file that is missing",
      { model: "nope.safetensors" },
      "BACKEND_REJECTED",
      /node 4 \(CheckpointLoaderSimple\): ckpt_name cannot be "nope.safetensors"; is the file in/,
    ],
    [
      "naming the node that is not installed",
      { graph: { "1": { class_type: "Fancy", inputs: {} } }, width: undefined, height: undefined },
      "BACKEND_REJECTED",
      /Node 'Fancy' not found.*Install it in ComfyUI/,
    ],
  ];
  test.each(cases)("%s", async (_, input, code, message) => {
    const fake = await startFake();
    const job = jobOf(input);
    const error = await failure(run(job, contextOf(fake.url)));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(JSON.stringify(error.details ?? {})).not.toContain("traceback");
    expect(job.artifacts).toHaveLength(0);
  });

  test("when ComfyUI named a file that is gone", async () => {
    const fake = await startFake();
    const job = jobOf({});
    const context = contextOf(fake.url);
    const http = {
      ...context.http,
      fetch: (...call: Parameters<typeof context.http.fetch>) => {
        fake.deleteFiles();
        return context.http.fetch(...call);
      },
    };
    const error = await failure(run(job, { ...context, http }));
    expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
    expect(error.message).toContain("no longer has it");
  });
});

describe("a graph of which only a part is valid", () => {
  const broken = { class_type: "SaveImage", inputs: { filename_prefix: "x", images: ["99", 0] } };
  const partial = (prompt: string) => ({
    graph: { ...graphOf(prompt), "10": broken },
    width: undefined,
    height: undefined,
  });

  test("is refused, and what ComfyUI had begun is stopped before that", async () => {
    const fake = await startFake();
    const job = jobOf(partial("a cat hang"));
    const error = await failure(run(job, contextOf(fake.url)));
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(error.message).toContain("node 10 (SaveImage): Bad linked input");
    expect(Object.keys(error.details.node_errors)).toEqual(["10"]);
    const health = await plugin.health(contextOf(fake.url), AbortSignal.timeout(5_000));
    expect(health).toMatchObject({ busy: false });
  });

  test("gives what it can when the operator allows it", async () => {
    const fake = await startFake();
    const job = jobOf(partial("a cat"));
    await run(job, contextOf(fake.url, { allow_partial: true }));
    expect(job.artifacts).toHaveLength(1);
  });
});

/** The shipped SDXL graph, as a client's own. */
function graphOf(text: string): Record<string, { class_type: string; inputs: object }> {
  return {
    "4": {
      class_type: "CheckpointLoaderSimple",
      inputs: { ckpt_name: "sd_xl_base_1.0.safetensors" },
    },
    "5": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "6": { class_type: "CLIPTextEncode", inputs: { text, clip: ["4", 1] } },
    "3": {
      class_type: "KSampler",
      inputs: {
        seed: 1,
        steps: 3,
        cfg: 7,
        sampler_name: "euler",
        scheduler: "normal",
        denoise: 1,
        model: ["4", 0],
        positive: ["6", 0],
        negative: ["6", 0],
        latent_image: ["5", 0],
      },
    },
    "8": { class_type: "VAEDecode", inputs: { samples: ["3", 0], vae: ["4", 2] } },
    "9": { class_type: "SaveImage", inputs: { filename_prefix: "x", images: ["8", 0] } },
  };
}
