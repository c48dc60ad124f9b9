/** Pictures to start from: which workflow takes them, and how they come to ComfyUI. */
import { describe, expect, test } from "bun:test";
import { createCheck } from "../../core/validation.ts";
import { input, type Request } from "../../plugins/comfyui/input.ts";
import { pngOf } from "../fakes/comfyui/pictures.ts";
import type { FakeComfyUI, FakeComfyUIOptions } from "../fakes/comfyui.ts";
import { capability, contextOf, failure, jobOf, run, startFake } from "./comfyui-cases.ts";

const ID = "0199f3a2-7c1e-7d4b-9a53-000000000001";
const PICTURE = pngOf(40, 30, 0x336699);
const config = contextOf("http://127.0.0.1:9").config;
const check = (request: Partial<Request>) =>
  capability.check?.({ prompt: "x", ...request }, config);

const pictured = (request: Partial<Request> = {}, id?: string) =>
  jobOf(
    { init_image: { artifact_id: ID }, width: undefined, height: undefined, ...request },
    {
      ...(id ? { id } : {}),
      files: { [ID]: new File([PICTURE], "../../../mine.png", { type: "image/png" }) },
    },
  );
const uploadsOf = (fake: FakeComfyUI) =>
  [...fake.files].filter(([key]) => key.startsWith("input:"));
const started = (options?: FakeComfyUIOptions) => startFake(options);
const graphOf = (fake: FakeComfyUI, index = 0) =>
  fake.prompts[index]?.prompt as Record<string, any>;

describe("a request with a picture", () => {
  test("goes to the workflow that starts from one and has the same model", async () => {
    const fake = await started();
    const job = pictured({ strength: 0.3, batch: 2 });
    expect(check(job.input)).toBeUndefined();
    expect(await run(job, contextOf(fake.url))).toMatchObject({ workflow: "sdxl-img2img" });
    expect(graphOf(fake)["3"].inputs.denoise).toBe(0.3);
    expect(graphOf(fake)["13"].inputs.amount).toBe(2);
    const model = "v1-5-pruned-emaonly.safetensors";
    const other = pictured({ model });
    expect(await run(other, contextOf(fake.url))).toMatchObject({
      workflow: "sdxl-img2img",
      model,
    });
  });

  test("without one goes where it went before", async () => {
    const fake = await started();
    const model = "sd_xl_base_1.0.safetensors";
    expect(await run(jobOf({ model }), contextOf(fake.url))).toMatchObject({ workflow: "sdxl" });
    const context = contextOf(fake.url, { default_workflow: "sdxl-img2img" });
    expect(await run(jobOf({}), context)).toMatchObject({ workflow: "sdxl" });
  });

  test("costs what its model and its size cost", () => {
    const cost = (request: Partial<Request>) =>
      capability.vram?.({ prompt: "x", init_image: { artifact_id: ID }, ...request }, config);
    expect(cost({})).toMatchObject({ model: "sd_xl_base_1.0.safetensors", workingMiB: 3000 });
    expect(cost({ options: { megapixels: 2 } })?.workingMiB).toBe(5250);
    expect(
      check({ init_image: { artifact_id: ID }, options: { megapixels: 4 }, batch: 16 }),
    ).toContain("megapixels; this backend allows 17");
  });

  test("is refused by a workflow that starts from none, and the other way round", () => {
    const init_image = { artifact_id: ID };
    expect(check({ workflow: "sdxl", init_image })).toBe(
      'init_image has no meaning in workflow "sdxl"; leave it out',
    );
    expect(check({ workflow: "flux-dev", strength: 0.5 })).toContain("strength has no meaning");
    expect(check({ strength: 0.5 })).toContain('strength has no meaning in workflow "sdxl"');
    expect(check({ workflow: "sdxl-img2img" })).toBe(
      'workflow "sdxl-img2img" starts from a picture; send it as init_image',
    );
    expect(check({ model: "flux1-dev.safetensors", init_image })).toContain('workflow "flux-dev"');
    expect(check({ workflow: "sdxl-img2img", init_image, width: 512 })).toContain("width has no");
  });

  test("may place it in a graph of its own", async () => {
    const fake = await started();
    const graph = {
      "1": { class_type: "LoadImage", inputs: { image: "{{init_image}}" } },
      "2": { class_type: "SaveImage", inputs: { filename_prefix: "x", images: ["1", 0] } },
    };
    await run(pictured({ graph }), contextOf(fake.url));
    expect(graphOf(fake)["1"].inputs.image).toMatch(/^switchyard\/[0-9a-f-]{36}\.png$/);
    expect(check({ graph })).toContain('the request must have "init_image"');
  });
});

describe("the picture", () => {
  test("is uploaded as it is, under a random name, never the client's", async () => {
    const fake = await started();
    await run(pictured(), contextOf(fake.url));
    await run(pictured(), contextOf(fake.url));
    const uploads = uploadsOf(fake);
    expect(uploads).toHaveLength(2);
    for (const [index, [key, bytes]] of uploads.entries()) {
      const [, name] = /^input:switchyard:([0-9a-f-]{36}\.png)$/.exec(key) ?? [];
      expect(name).toBeString();
      expect(bytes).toEqual(PICTURE);
      expect(graphOf(fake, index)["10"].inputs.image).toBe(`switchyard/${name}`);
      expect(key).not.toContain(String(fake.prompts[index]?.prompt_id));
    }
  });

  test("that the server keeps under another name is loaded by that name", async () => {
    const fake = await started({ renamesUploads: true });
    await run(pictured(), contextOf(fake.url));
    expect(graphOf(fake)["10"].inputs.image).toMatch(/^switchyard\/[0-9a-f-]{36} \(1\)\.png$/);
  });

  test("is not uploaded again for a job that is picked up after a restart", async () => {
    const fake = await started();
    const first = pictured();
    await run(first, contextOf(fake.url));
    const again = jobOf(first.input, { id: first.id, attempt: 2, steps: first.steps });
    await run(again, contextOf(fake.url));
    expect(uploadsOf(fake)).toHaveLength(1);
  });

  test("that is too large for the server, or gone, is the input's fault", async () => {
    const fake = await started({ maxUploadBytes: 100 });
    const error = await failure(run(pictured(), contextOf(fake.url)));
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(fake.prompts).toEqual([]);
    const gone = jobOf({ init_image: { artifact_id: ID } });
    const missing = await failure(run(gone, contextOf(fake.url)));
    expect(missing.code).toBe("BACKEND_REJECTED");
  });

  test("that the server lost before the prompt came is told in its words", async () => {
    const fake = await started({ losesUploads: true });
    const error = await failure(run(pictured(), contextOf(fake.url)));
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(error.message).toContain("LoadImage");
    expect(error.message).toContain("Invalid image file");
  });
});

describe("options", () => {
  test("are declared as the workflows have them", async () => {
    const context = contextOf("http://127.0.0.1:9");
    const declared = await capability.options?.(context, AbortSignal.timeout(1_000));
    expect(Object.keys(declared ?? {}).sort()).toEqual([
      "guidance",
      "megapixels",
      "sampler",
      "scheduler",
      "shift",
      "weight_dtype",
    ]);
    expect(JSON.stringify(declared?.megapixels)).toContain("(sdxl-img2img)");
  });

  test("were called params, which the schema no longer has", () => {
    const checked = createCheck(input)({ prompt: "x", params: { steps: 1 } });
    expect(checked).toEqual({ ok: true, value: { prompt: "x" } as never });
  });
});
