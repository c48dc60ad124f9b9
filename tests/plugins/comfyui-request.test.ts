import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Request } from "../../plugins/comfyui/input.ts";
import plugin from "../../plugins/comfyui/plugin.ts";
import { rawWorkflow } from "../../plugins/comfyui/raw-graph.ts";
import { capability, contextOf, jobOf, run, startFake } from "./comfyui-cases.ts";

const config = contextOf("http://127.0.0.1:9").config;
const check = (input: Partial<Request>, settings = config) =>
  capability.check?.({ prompt: "a cat", ...input }, settings);

/** Two nodes that draw and save a plain picture. */
const SMALL_GRAPH = {
  "1": { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 255 } },
  "2": { class_type: "SaveImage", inputs: { filename_prefix: "x", images: ["1", 0] } },
};
const UI_FORMAT = { nodes: [{ id: 1, type: "EmptyImage" }], links: [], version: 0.4 };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "switchyard-comfyui-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function templates(files: Record<string, unknown>): Promise<string> {
  const own = await mkdtemp(join(folder, "workflows-"));
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    await writeFile(join(own, name), text);
  }
  return own;
}

describe("a request", () => {
  test("with each shipped workflow is accepted", () => {
    for (const workflow of ["sdxl", "z-image-turbo", "flux-dev"]) {
      expect(check({ workflow, seed: 1, steps: 4, width: 512 })).toBeUndefined();
    }
  });

  test("with an unknown workflow hears which there are and which was meant", () => {
    expect(check({ workflow: "sdlx" })).toBe(
      'Unknown workflow "sdlx"; did you mean "sdxl"? choose one of flux-dev, sdxl-img2img, sdxl, z-image-turbo',
    );
  });

  test("with an unknown option hears which the workflow has", () => {
    const problem = check({ workflow: "flux-dev", options: { guidence: 3 } });
    expect(problem).toContain('Unknown option of workflow "flux-dev" "guidence"');
    expect(problem).toContain('did you mean "guidance"? choose one of guidance, weight_dtype');
  });

  test("with a value that the workflow would drop is refused", () => {
    expect(check({ workflow: "flux-dev", negative_prompt: "blurry" })).toBe(
      'negative_prompt has no meaning in workflow "flux-dev"; leave it out',
    );
  });

  test("with a value out of range, of a wrong type or not offered is refused", () => {
    expect(check({ workflow: "z-image-turbo", steps: 51 })).toBe(
      'steps must be at most 50 in workflow "z-image-turbo", got 51',
    );
    expect(check({ workflow: "flux-dev", options: { guidance: "3" } })).toContain("of type number");
    expect(check({ workflow: "flux-dev", options: { weight_dtype: "fp4" } })).toContain("one of");
  });

  test("that gives a field as an option is told to use the field", () => {
    expect(check({ options: { steps: 3 } })).toContain('as the field "steps"');
  });

  test("above the megapixels that the operator allows is refused with both figures", () => {
    expect(check({ width: 4096, height: 4096, batch: 2 })).toBe(
      "width x height x batch is 33.6 megapixels; this backend allows 17",
    );
  });

  test("with a graph in UI format is refused with the way out", () => {
    expect(check({ graph: UI_FORMAT })).toMatch(/UI format.*Export \(API\)/);
    expect(check({ graph: { "1": { type: "EmptyImage" } } })).toMatch(/\/1\/class_type.*\(API\)/);
    expect(check({ graph: {} })).toBe("graph has no nodes");
  });

  test("with a graph and a workflow, or options, is refused", () => {
    expect(check({ graph: SMALL_GRAPH, workflow: "sdxl" })).toContain("exclude each other");
    expect(check({ graph: SMALL_GRAPH, options: { a: 1 } })).toContain("write the values into");
  });

  test("with a graph gets its fields where the graph has tokens, and nowhere else", async () => {
    const fake = await startFake();
    const graph = structuredClone(SMALL_GRAPH) as Record<string, any>;
    Object.assign(graph["1"].inputs, { width: "{{width}}", height: "{{height}}" });
    expect(check({ graph, width: 96 })).toContain('the request must have "height"');
    expect(check({ graph: SMALL_GRAPH, width: 96 })).toContain("width has no meaning");
    const job = jobOf({ graph, width: 96, height: 32 });
    await run(job, contextOf(fake.url));
    expect(job.artifacts[0]?.metadata).toMatchObject({ workflow: "graph", width: 96, height: 32 });
    expect(fake.prompts[0]?.prompt).toMatchObject({ "1": { inputs: { width: 96, color: 255 } } });
  });

  test("with a graph gets a file name of the job's own, also for one that a node would make", async () => {
    const fake = await startFake();
    const graph = structuredClone(SMALL_GRAPH) as Record<string, any>;
    graph["3"] = {
      class_type: "SaveImage",
      inputs: { filename_prefix: ["1", 0], images: ["1", 0] },
    };
    const job = jobOf({ graph, width: undefined, height: undefined });
    await run(job, contextOf(fake.url));
    const sent = fake.prompts[0]?.prompt as Record<string, any>;
    const names = ["2", "3"].map((node) => sent[node].inputs.filename_prefix);
    expect(names).toEqual([`switchyard/${job.id}`, `switchyard/${job.id}`]);
  });

  test("with a graph of unusual input names names only the model files that loaders read", () => {
    const inputs = { constructor: "a.bin", toString: "b.bin", unet_name: "c.safetensors" };
    const graph = { ...SMALL_GRAPH, "3": { class_type: "UNETLoader", inputs } };
    expect(rawWorkflow(graph, [])?.requires).toEqual({ diffusion_models: ["c.safetensors"] });
  });

  test("that names only a model gets the workflow made for it", async () => {
    const fake = await startFake();
    const job = jobOf({ model: "z_image_turbo_bf16.safetensors" });
    expect(await run(job, contextOf(fake.url))).toMatchObject({ workflow: "z-image-turbo" });
  });
});

describe("the cost of a request", () => {
  const cost = (input: Partial<Request>) =>
    capability.vram?.({ prompt: "a cat", ...input }, config);

  test("belongs to the model file, and grows with the pixels", () => {
    const usual = cost({});
    expect(usual).toMatchObject({
      model: "sd_xl_base_1.0.safetensors",
      residentMiB: 7000,
      workingMiB: 3000,
    });
    expect(cost({ width: 1024, height: 2048 })?.workingMiB).toBe(5250);
    expect(cost({ batch: 3 })?.workingMiB).toBe(7500);
    expect(cost({ model: "mine.safetensors" })).toEqual({ ...usual!, model: "mine.safetensors" });
  });

  test("of a graph is that of the largest template, under the graph's own model file", () => {
    const inputs = { ckpt_name: "tiny.safetensors" };
    const graph = { ...SMALL_GRAPH, "3": { class_type: "CheckpointLoaderSimple", inputs } };
    expect(cost({ graph })).toMatchObject({ model: "tiny.safetensors", residentMiB: 12_000 });
  });
});

describe("the operator's templates", () => {
  const manifest = {
    summary: "A plain picture.",
    params: {
      width: { type: "integer", min: 16, max: 512, targets: [["1", "width"]] },
      color: { type: "integer", min: 0, max: 0xffffff, targets: [["1", "color"]] },
    },
    output: ["2"],
    resident_mib: 0,
    working_mib: 0,
    graph: SMALL_GRAPH,
  };

  test("are run under the name of their file", async () => {
    const fake = await startFake();
    const workflows_dir = await templates({ "plain.json": manifest });
    const context = contextOf(fake.url, { workflows_dir, default_workflow: "plain" });
    const job = jobOf({ height: undefined, options: { color: 0xff0000 } });
    expect(check(job.input, context.config)).toBeUndefined();
    await run(job, context);
    expect(job.artifacts).toHaveLength(1);
    expect(fake.prompts[0]?.prompt).toMatchObject({ "1": { inputs: { color: 0xff0000 } } });
  });

  const broken: [string, unknown, RegExp][] = [
    ["is in UI format", UI_FORMAT, /mine\.json is in ComfyUI's UI format.*Export \(API\)/],
    ["holds a UI graph", { ...manifest, graph: UI_FORMAT }, /mine\.json is in ComfyUI's UI format/],
    ["is a bare graph", SMALL_GRAPH, /mine\.json is a bare graph; put it under "graph"/],
    ["is not JSON", "{", /mine\.json .*JSON/],
    ["lacks a member", { ...manifest, output: undefined }, /mine\.json \/output/],
    [
      "targets a node that is not there",
      { ...manifest, params: { seed: { type: "integer", targets: [["7", "seed"]] } } },
      /mine\.json param "seed" targets 7\.seed, which the graph lacks.*Export \(API\)/,
    ],
    ["names a missing output", { ...manifest, output: ["9"] }, /"output" names node 9/],
  ];
  test.each(broken)("make the backend down when one %s", async (_, content, reason) => {
    const fake = await startFake();
    const workflows_dir = await templates({ "mine.json": content });
    const context = contextOf(fake.url, { workflows_dir });
    const health = await plugin.health(context, AbortSignal.timeout(5_000));
    expect(health).toMatchObject({ status: "down", reason: expect.stringMatching(reason) });
    expect(JSON.stringify(health)).not.toContain(tmpdir());
  });

  test("make the backend down when their folder or the default is missing", async () => {
    const fake = await startFake();
    const health = (settings: Record<string, unknown>) =>
      plugin.health(contextOf(fake.url, settings), AbortSignal.timeout(5_000));
    expect(await health({ workflows_dir: join(folder, "none") })).toMatchObject({
      reason: expect.stringContaining('workflows_dir "none" cannot be read'),
    });
    expect(await health({ default_workflow: "mine" })).toMatchObject({
      reason: expect.stringContaining('default_workflow "mine" is none of'),
    });
  });

  test("count from the next look at the health after they were edited", async () => {
    const fake = await startFake();
    const workflows_dir = await templates({ "mine.json": UI_FORMAT });
    const context = contextOf(fake.url, { workflows_dir });
    const status = async () =>
      (await plugin.health(context, AbortSignal.timeout(5_000))).status as string;
    expect(await status()).toBe("down");
    await writeFile(join(workflows_dir, "mine.json"), JSON.stringify(manifest));
    expect(await status()).toBe("ready");
    expect(check({ workflow: "mine" }, context.config)).toBeUndefined();
  });
});
