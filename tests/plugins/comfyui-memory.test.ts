/** How the ComfyUI plugin counts and frees memory, and how the fake holds a simulated device's. */
import { describe, expect, test } from "bun:test";
import type { Request } from "../../plugins/comfyui/input.ts";
import plugin from "../../plugins/comfyui/plugin.ts";
import type { FakeComfyUIOptions } from "../fakes/comfyui.ts";
import type { MemoryOptions } from "../fakes/memory.ts";
import { capability, contextOf, failure, jobOf, run, startFake, until } from "./comfyui-cases.ts";
import { simulatedDevice } from "./device.ts";

const SDXL = "sd_xl_base_1.0.safetensors";
const FLUX = "flux1-dev.safetensors";
const soon = () => AbortSignal.timeout(15_000);

async function onDevice(options: FakeComfyUIOptions & { totalMiB?: number } = {}) {
  const { totalMiB, ...rest } = options;
  const device = simulatedDevice(totalMiB);
  const memory: MemoryOptions = { folder: device.folder };
  const fake = await startFake({ ...rest, memory });
  return { device, memory, fake, context: contextOf(fake.url) };
}

describe("the cost of a request", () => {
  const cost = (input: Partial<Request>) =>
    capability.vram?.({ prompt: "a cat", ...input }, contextOf("http://127.0.0.1:9").config);
  const loading = (...files: string[]) =>
    Object.fromEntries(
      files.map((ckpt_name, index) => [
        `${index}`,
        { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name } },
      ]),
    );

  test("has the size pixels x steps x batch, the template's own where nothing is said", () => {
    expect(cost({})?.size).toBe(1024 * 1024 * 25);
    expect(cost({ width: 512, height: 768, steps: 10, batch: 3 })?.size).toBe(512 * 768 * 30);
  });

  test("has no size where the workflow has no picture size", () => {
    expect(cost({ graph: loading(SDXL) })).not.toHaveProperty("size");
  });

  test("names the files that stand in memory together", () => {
    expect(cost({})?.model).toBe(SDXL);
    const refined = loading(SDXL, "sd_xl_refiner_1.0.safetensors");
    expect(cost({ graph: refined })?.model).toBe(`${SDXL} + sd_xl_refiner_1.0.safetensors`);
    expect(cost({ graph: loading(SDXL, SDXL) })?.model).toBe(SDXL);
    const many = loading(...Array.from({ length: 100 }, (_, index) => `${index}.safetensors`));
    expect(cost({ graph: many })?.model.length).toBeLessThanOrEqual(256);
  });
});

describe("free", () => {
  test("takes everything, and the plugin says so", async () => {
    expect(plugin.frees).toBe("everything");
    const { device, context } = await onDevice();
    await run(jobOf({}), context);
    expect(device.used()).toBe(7_000);
    await plugin.free?.(context, "another.safetensors", soon());
    expect(device.used()).toBe(0);
  });

  test("settles when the device's free memory shows it, where PyTorch does not", async () => {
    const { device, context } = await onDevice({ dynamicVram: true });
    await run(jobOf({}), context);
    const startedMs = performance.now();
    await plugin.free?.(context, SDXL, soon());
    // Its own patience is 10 s.
    expect(performance.now() - startedMs).toBeLessThan(8_000);
    expect(device.used()).toBe(0);
  });

  test("that lies leaves the memory where it is, for the probe to see", async () => {
    const { device, memory, fake, context } = await onDevice();
    await run(jobOf({}), context);
    memory.lies = true;
    const patience = AbortSignal.timeout(300);
    expect(await failure(plugin.free?.(context, SDXL, patience))).toMatchObject({
      name: "TimeoutError",
    });
    expect(fake.calls).toContain("POST /free");
    expect(device.used()).toBe(7_000);
  });
});

describe("the fake's memory", () => {
  test("is taken by the model, and by the picture while it is drawn", async () => {
    const { device, context, memory } = await onDevice();
    const job = jobOf({ prompt: "hang", width: 1024, height: 1024 });
    const end = failure(run(job, context));
    await until(() => device.used() === 10_000, "the model and the picture are in memory");
    await job.cancel();
    await end;
    await until(() => device.used() === 7_000, "the picture is done");
    memory.lateMs = 150;
    await plugin.free?.(context, SDXL, soon());
    await until(() => device.used() === 0, "it comes back");
  });

  test("takes the time to load that the test says", async () => {
    const { device, fake, context } = await onDevice({ loadMs: { [SDXL]: 200 } });
    const startedMs = performance.now();
    const end = run(jobOf({}), context);
    await until(() => device.used() > 0, "the load has begun");
    expect(fake.loaded.size).toBe(0);
    await end;
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(195);
  });

  test("gives the room of another model to the one that is asked for", async () => {
    const { device, fake, context } = await onDevice({ totalMiB: 16_000 });
    await run(jobOf({}), context);
    await run(jobOf({ workflow: "flux-dev" }), context);
    expect([...fake.loaded]).toEqual([FLUX]);
    expect(device.used()).toBe(12_000);
  });

  test("that does not suffice ends in ComfyUI's own words, with everything unloaded", async () => {
    const { device, memory, fake, context } = await onDevice({ totalMiB: 8_000 });
    const big = failure(run(jobOf({ width: 1024, height: 1024 }), context));
    expect(await big).toMatchObject({ code: "OUT_OF_MEMORY" });
    expect({ loaded: fake.loaded.size, used: device.used() }).toEqual({ loaded: 0, used: 0 });
    memory.failingLoads = 1;
    expect(await failure(run(jobOf({}), context))).toMatchObject({
      code: "OUT_OF_MEMORY",
      message: expect.stringContaining("KSampler"),
    });
    await run(jobOf({}), context);
    expect(device.used()).toBe(7_000);
  });

  test("is gone with the process", async () => {
    const { device, fake, context } = await onDevice();
    await run(jobOf({}), context);
    fake.restart();
    expect(device.used()).toBe(0);
    await run(jobOf({ prompt: "another cat" }), context);
    expect(device.used()).toBe(7_000);
    await fake.stop();
    expect(device.used()).toBe(0);
  });
});
