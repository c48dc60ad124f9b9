import { describe, expect, test } from "bun:test";
import { setTimeout as delay } from "node:timers/promises";
import { Value } from "@sinclair/typebox/value";
import { createTestContext, createTestJob, type TestJobOptions } from "switchyard/sdk/testing";
import wan2gp from "../../plugins/wan2gp/plugin.ts";
import { type FakeWan2gp, type FakeWan2gpOptions, startFakeWan2gp } from "../fakes/wan2gp.ts";

type Kind = keyof typeof wan2gp.capabilities;
const MODELS = {
  image_model: "z_image",
  music_model: "ace_step_v1_5",
  speech_model: "chatterbox",
};

interface Setting {
  readonly fake: FakeWan2gp;
  readonly ctx: any;
  job(input: object, options?: TestJobOptions): ReturnType<typeof createTestJob<any>>;
  run(kind: Kind, job: ReturnType<typeof createTestJob<any>>): Promise<any>;
  fails(input: object, kind?: Kind): Promise<{ code: string; message: string }>;
}

async function withWanGP(
  { config, ...options }: FakeWan2gpOptions & { config?: Record<string, unknown> },
  body: (setting: Setting) => Promise<void>,
): Promise<void> {
  const fake = await startFakeWan2gp(options);
  const own = { poll_interval_ms: 10, ...MODELS, ...config };
  const ctx = createTestContext(wan2gp, fake.url, own);
  const job: Setting["job"] = (input, more) => createTestJob({ prompt: "a train", ...input }, more);
  const run: Setting["run"] = async (kind, it) => wan2gp.capabilities[kind].run(it, ctx);
  const fails: Setting["fails"] = (input, kind = "video.generate") =>
    run(kind, job(input)).then(() => Object({ code: "none" }), Object);
  try {
    await body({ fake, ctx, job, run, fails });
  } finally {
    await fake.stop();
  }
}

async function until(seen: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + 5_000; !seen(); await delay(2)) {
    if (performance.now() > end) throw new Error(`never came: ${what}`);
  }
}

const soon = () => AbortSignal.timeout(5_000);
const ID = "01890a5d-ac96-774b-bcce-b302099a8059";
const picture = (type = "image/png") => new File(["a picture"], "../../évil.png", { type });

describe("what WanGP is asked for", () => {
  test("its settings in its own terms, the whole text as one prompt", () =>
    withWanGP({}, async ({ run, job, fake }) => {
      const prompt = "A train.\n\nIt crosses $(a bridge) `id` \"';";
      const more = { width: 1280, height: 720, duration_seconds: 4.5, fps: 24, steps: 8, cfg: 4 };
      await run("video.generate", job({ prompt, ...more, seed: 7, negative_prompt: "cars" }));
      expect(fake.sources[0]).toEqual({
        model_type: "t2v_1.3B",
        prompt,
        negative_prompt: "cars",
        num_inference_steps: 8,
        guidance_scale: 4,
        seed: 7,
        resolution: "1280x720",
        video_length: "4.5s",
        force_fps: "24",
        image_mode: 0,
        multi_prompts_gen_type: "FG",
        repeat_generation: 1,
        batch_size: 1,
        output_filename: "",
      });
    }));

  test("lyrics as the prompt of music, and the style beside it", () =>
    withWanGP({}, async ({ run, job, fake }) => {
      await run("music.generate", job({ prompt: "slow blues", lyrics: "[verse]\nrain" }));
      await run("music.generate", job({ prompt: "slow blues", style: "harmonica" }));
      expect(fake.sources[0]).toMatchObject({ prompt: "[verse]\nrain", alt_prompt: "slow blues" });
      expect(fake.sources[1]).toMatchObject({ prompt: "[Instrumental]", alt_prompt: "harmonica" });
    }));

  test("files by their place in its gallery, under names of ours", () =>
    withWanGP({}, async ({ run, fake, job }) => {
      const images = { init_image: { artifact_id: ID }, end_image: { artifact_id: ID } };
      const input = { model: "i2v_2_2", ...images };
      await run("video.generate", job(input, { files: { [ID]: picture() } }));
      expect([...fake.uploaded.keys()]).toEqual(["start.png", "end.png"]);
      expect(Buffer.from(fake.uploaded.get("start.png") ?? []).toString()).toBe("a picture");
      expect(fake.sources[0]).toMatchObject({ image_prompt_type: "SE", image_start: "visual:up1" });
    }));

  test("a recording of a voice", () =>
    withWanGP({}, async ({ run, fake, job }) => {
      const file = new File(["wav"], "me.wav", { type: "audio/wav" });
      const input = { text: "Hello", voice_sample: { artifact_id: ID } };
      await run("speech.synthesize", job(input, { files: { [ID]: file } }));
      expect(fake.sources[0]).toMatchObject({ prompt: "Hello", audio_guide: "audio:up1" });
    }));

  test("of the options only what is safe to pass on", () =>
    withWanGP({}, async ({ run, job, fake }) => {
      const options = {
        flow_shift: 4,
        sample_solver: "unipc",
        activated_loras: ["style.safetensors"],
        output_filename: "../../x",
        image_start: "/etc/passwd",
        prompt: "another",
        multi_prompts_gen_type: "G",
        model_type: "other",
      };
      await run("video.generate", job({ options }));
      expect(fake.sources[0]).toMatchObject({
        flow_shift: 4,
        sample_solver: "unipc",
        activated_loras: ["style.safetensors"],
        output_filename: "",
        prompt: "a train",
        multi_prompts_gen_type: "FG",
        model_type: "t2v_1.3B",
      });
      expect(fake.sources[0]).not.toHaveProperty("image_start");
      const loras = ["https://evil.example/x.safetensors", "/root/x", "..\\x", "~/x", "c:x"];
      for (const lora of loras)
        await run("video.generate", job({ options: { activated_loras: [lora] } }));
      for (const source of fake.sources.slice(1))
        expect(source).not.toHaveProperty("activated_loras");
    }));
});

describe("what the model cannot do", () => {
  test.each([
    [{ model: "t2v_1.3C" }, 'no model "t2v_1.3C"'],
    [{ model: "z_image" }, "makes image, no video"],
    [{ init_image: { artifact_id: ID } }, "cannot start from a picture"],
    [{ model: "ltx2_22B_distilled", end_image: { artifact_id: ID } }, "cannot end with a picture"],
  ])("%j is refused, and nothing is sent", (input, words) =>
    withWanGP({}, async ({ fails, fake }) => {
      const error = await fails(input);
      expect(error.code).toBe("BACKEND_REJECTED");
      expect(error.message).toContain(words);
      expect(fake.sources).toEqual([]);
    }),
  );

  test("a file of a type that WanGP does not know", () =>
    withWanGP({}, async ({ run, job }) => {
      const work = job(
        { model: "i2v_2_2", init_image: { artifact_id: ID } },
        { files: { [ID]: picture("image/tiff") } },
      );
      const error = await run("video.generate", work).catch(Object);
      expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
    }));

  test("one side without the other, and a seed beyond NumPy's", () => {
    const { check } = wan2gp.capabilities["video.generate"];
    const config = createTestContext(wan2gp).config as any;
    expect(check?.({ prompt: "x", width: 640 }, config)).toContain("width, height");
    expect(check?.({ prompt: "x", seed: 2 ** 32 }, config)).toContain("seed");
    expect(check?.({ prompt: "x", seed: 2 ** 32 - 1 }, config)).toBeUndefined();
  });
});

describe("weights that are not there yet", () => {
  test("are downloaded in the job, which says so all the time", () =>
    withWanGP({ stepMs: 10 }, async ({ run, job }) => {
      const work = job({ model: "ltx2_22B_distilled" });
      await run("video.generate", work);
      const notes = work.progressed.map(({ note }) => note);
      expect(notes.filter((note) => note?.startsWith("downloading")).length).toBeGreaterThan(3);
      expect(notes.at(-1)).toContain("inference");
    }));

  test("have their own limit", () =>
    withWanGP({ stepMs: 200, config: { download_timeout_ms: 1_000 } }, async ({ fails }) => {
      expect((await fails({ model: "ltx2_22B_distilled" })).code).toBe("STALLED");
    }));

  test("are refused where the operator does not want downloads", () =>
    withWanGP({ config: { allow_downloads: false } }, async ({ fails, fake }) => {
      const error = await fails({ model: "ltx2_22B_distilled" });
      expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
      expect(fake.sources).toEqual([]);
    }));
});

describe("how a job ends", () => {
  test.each([
    ["fail", "BACKEND_FAILED", "it exploded"],
    ["oom", "OUT_OF_MEMORY", "unsufficient VRAM"],
    ["invalid", "BACKEND_REJECTED", "valid resolution"],
    ["null-output", "BACKEND_BAD_OUTPUT", "made no file"],
  ])("%s is %s", (prompt, code, words) =>
    withWanGP({}, async ({ fails }) => {
      const error = await fails({ prompt });
      expect(error.code).toBe(code);
      expect(error.message).toContain(words);
      expect(error.message).not.toContain("/opt/wan");
    }),
  );

  test.each(["1.10", "1.30", "2.3"] as const)("a server with other work is busy (mcp %s)", (mcp) =>
    withWanGP({ mcp, busy: true }, async ({ fails }) => {
      expect((await fails({})).code).toBe("BACKEND_BUSY");
    }),
  );

  test.each(["1.10", "2.3"] as const)("a server that was restarted has lost it (mcp %s)", (mcp) =>
    withWanGP({ mcp }, async ({ run, job, fake }) => {
      const work = job({ prompt: "hang" });
      const running = run("video.generate", work).catch(Object);
      await until(() => work.progressed.length > 0, "progress");
      fake.restart();
      expect(await running).toMatchObject({ code: "BACKEND_LOST" });
    }),
  );

  test("a cancel is repeated until WanGP has let go", () =>
    withWanGP({}, async ({ run, job, fake }) => {
      const work = job({ prompt: "hang" });
      const running = run("video.generate", work).catch((error) => error);
      await until(() => work.progressed.length > 0, "progress");
      await work.cancel();
      expect(String(await running)).toContain("cancelled");
      expect(fake.stopped).toBe(true);
      expect(work.artifacts).toEqual([]);
    }));

  test("the output tells the model and the seed that was drawn", () =>
    withWanGP({}, async ({ run, job }) => {
      const work = job({});
      const output = await run("video.generate", work);
      expect(output).toEqual({ files: ["/artifacts/artifact-1"], model: "t2v_1.3B", seed: 4_711 });
      expect(work.artifacts[0]).toMatchObject({ name: "video.mp4", mediaType: "video/mp4" });
    }));

  test("progress has the steps of WanGP's phases", () =>
    withWanGP({ stepMs: 15 }, async ({ run, job }) => {
      const work = job({ prompt: "a train steps=4" });
      await run("video.generate", work);
      expect(work.progressed.some(({ note }) => note === "inference, step 2 of 4")).toBe(true);
    }));

  test("files are fetched from our own base URL, whatever host WanGP names", () =>
    withWanGP({ foreignAddresses: true }, async ({ run, job, fake }) => {
      const work = job({});
      await run("video.generate", work);
      expect(work.artifacts).toHaveLength(1);
      expect(fake.calls).toContain("GET /wangp_api/gallery/download");
    }));
});

describe("the server", () => {
  test("that lacks a tool is not one that can be used", () =>
    withWanGP({ without: ["wangp_create_gallery_download"] }, async ({ ctx }) => {
      const health: any = await wan2gp.health(ctx, soon()).catch(Object);
      expect(health.code).toBe("BACKEND_MISMATCH");
      expect(health.message).toContain("wangp_create_gallery_download");
    }));

  test("that takes no foreign name says what to do", () =>
    withWanGP({ mcp: "1.30", foreign: true }, async ({ ctx }) => {
      const error: any = await wan2gp.health(ctx, soon()).catch(Object);
      expect(error.code).toBe("BACKEND_MISMATCH");
      expect(error.message).toContain("use 127.0.0.1 or localhost");
    }));

  test.each(["1.10", "1.30", "2.3"] as const)(
    "is asked in one place, wherever it answers (mcp %s)",
    (mcp) =>
      withWanGP({ mcp }, async ({ ctx }) => {
        expect(await wan2gp.health(ctx, soon())).toEqual({ status: "ready" });
        expect(await wan2gp.health(ctx, soon())).toEqual({ status: "ready" });
      }),
  );

  test("lists its models in pages, and is asked for them once", () =>
    withWanGP({}, async ({ ctx, fake }) => {
      const models = await wan2gp.models?.(ctx, soon());
      expect(models).toHaveLength(16);
      expect(models).toContainEqual({
        name: "ltx2_22B_distilled",
        title: "LTX-2 2.3 Distilled",
        family: "Wan",
        makes: ["video"],
        weights: "missing",
      });
      const asked = fake.calls.length;
      expect(await wan2gp.models?.(ctx, soon())).toEqual(models ?? []);
      expect(fake.calls).toHaveLength(asked);
    }));

  test("declares the options that its model has", () =>
    withWanGP({}, async ({ ctx }) => {
      const { options } = wan2gp.capabilities["video.generate"];
      const declared = (await options?.(ctx, soon())) ?? {};
      expect(Object.keys(declared).sort()).toEqual(["flow_shift", "sample_solver"]);
      expect(declared.flow_shift).toMatchObject({ default: 3 });
      expect(Value.Check(declared.sample_solver as any, "../x/y")).toBe(false);
    }));
});

describe("the manifest", () => {
  const { config } = createTestContext(wan2gp, undefined, MODELS) as any;

  test("offers what the operator named a model for", () => {
    const plain = createTestContext(wan2gp).config as any;
    expect(wan2gp.offers?.(plain)).toEqual(["video.generate"]);
    expect(wan2gp.offers?.(config)).toEqual([
      "video.generate",
      "image.generate",
      "music.generate",
      "speech.synthesize",
    ]);
  });

  test("shows what WanGP's licence asks for", () => {
    expect(wan2gp.notice).toContain("Uses WanGP");
    expect(wan2gp.notice).toContain("https://github.com/deepbeepmeep/Wan2GP");
  });

  test("costs more for more pixels, and never more than a whole device", () => {
    const { vram } = wan2gp.capabilities["video.generate"];
    const cost = (input: object, own = {}) =>
      vram?.({ prompt: "x", ...input }, { ...config, ...own });
    const small = cost({ width: 640, height: 384, duration_seconds: 2 });
    const large = cost({ width: 1920, height: 1088, duration_seconds: 10 });
    expect(large?.workingMiB ?? 0).toBeGreaterThan(small?.workingMiB ?? 0);
    const most = cost({ width: 4096, height: 4096, duration_seconds: 600 });
    expect((most?.workingMiB ?? 0) + (most?.residentMiB ?? 0)).toBe(20_000);
    expect(cost({}, { variant: "cli" })).toMatchObject({ residentMiB: 0 });
    expect(cost({ model: "big" }, { working_mib: { big: 9_000 } })?.workingMiB).toBeGreaterThan(
      9_000,
    );
  });
});
