/** WanGP by its command line: the conformance suite, and what its exit code does not tell. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestContext, createTestJob, testPlugin } from "switchyard/sdk/testing";
import wan2gp from "../../plugins/wan2gp/plugin.ts";
import { createStage } from "../fakes/cli/stage.ts";

const stage = createStage("wgp.ts");
const folder = mkdtempSync(join(tmpdir(), "switchyard-wangp-"));
writeFileSync(join(folder, "wgp.py"), "");
mkdirSync(join(folder, "defaults"));
for (const name of ["t2v_1.3B", "z_image"]) {
  writeFileSync(join(folder, "defaults", `${name}.json`), "{}");
}
afterAll(() => {
  stage.remove();
  rmSync(folder, { recursive: true, force: true });
});

const config = {
  variant: "cli",
  folder,
  python: [...stage.command],
  arguments: ["--profile", "4"],
  image_model: "z_image",
};
const { "video.generate": video, "image.generate": image } = wan2gp.capabilities;

// There is no server in this variant, and not every kind of work has to be tried.
testPlugin(
  {
    ...wan2gp,
    name: "wan2gp-cli",
    defaultUrl: undefined,
    capabilities: { "video.generate": video, "image.generate": image },
  },
  {
    fake: stage.start,
    config,
    submits: { "video.generate": "RUN", "image.generate": "RUN" },
    settleMs: 15_000,
  },
);

describe("wgp.py --process", () => {
  const context = () => createTestContext(wan2gp, undefined, config);
  const jobOf = (prompt: string, more: object = {}, files: Record<string, File> = {}) =>
    createTestJob({ prompt, ...more }, { files });
  const failure = (prompt: string) =>
    Promise.resolve(video.run(jobOf(prompt), context())).then(() => Object({}), Object);

  test("gets the request as a file, whatever stands in it", async () => {
    await stage.start();
    const prompt = "a train $(reboot) `id` ';\"\n\nin the second paragraph ../../etc";
    const job = jobOf(prompt, { width: 832, height: 480, duration_seconds: 5, seed: 7, fps: 24 });
    const output = await video.run(job, context());
    const [{ task, args, script, folder: cwd }] = stage.runs as [any];
    expect(task).toMatchObject({
      model_type: "t2v_1.3B",
      prompt,
      resolution: "832x480",
      video_length: "5s",
      force_fps: "24",
      seed: 7,
      multi_prompts_gen_type: "FG",
    });
    expect(script).toBe("wgp.py");
    expect(cwd).toBe(folder);
    expect(args.join(" ")).not.toContain("reboot");
    expect(args.slice(-2)).toEqual(["--profile", "4"]);
    expect(job.artifacts).toHaveLength(1);
    expect(output).toMatchObject({ model: "t2v_1.3B" });
  });

  test("tells how far it is, from the line that it rewrites", async () => {
    const job = jobOf("a train steps=60");
    await video.run(job, context());
    const notes = job.progressed.map(({ note }) => note ?? "").join("\n");
    expect(notes).toContain("inference");
  });

  test("finds a picture to start from beside the request", async () => {
    await stage.start();
    const id = "01890a5d-ac96-774b-bcce-b302099a8059";
    const file = new File(["png"], "../../x.png", { type: "image/png" });
    const job = jobOf("a train", { init_image: { artifact_id: id } }, { [id]: file });
    await video.run(job, context());
    const [{ task }] = stage.runs as [any];
    expect(task.image_start).toMatch(/\/in\/[^/]+$/);
    expect(task.image_prompt_type).toBe("S");
  });

  test("starts only with a model that its folder describes, whatever a request calls it", async () => {
    await stage.start();
    const run = Promise.resolve(video.run(jobOf("a train", { model: "../../evil" }), context()));
    expect(await run.catch((error) => error.code)).toBe("BACKEND_REJECTED");
    expect(stage.runs).toEqual([]);
  });

  test("that skipped the task has not succeeded, although it says so", async () => {
    const error = await failure("skip this");
    expect(error.code).toBe("BACKEND_REJECTED");
    expect(error.message).toContain("valid resolution");
  });

  test("that made nothing has not succeeded either", async () => {
    expect((await failure("null-output")).code).toBe("BACKEND_BAD_OUTPUT");
  });

  test("that was interrupted has lost the job", async () => {
    expect((await failure("interrupt")).code).toBe("BACKEND_LOST");
  });

  test("fails without a folder of its machine in the message", async () => {
    const error = await failure("fail");
    expect(error.code).toBe("BACKEND_FAILED");
    expect(error.message).toContain("it exploded");
    expect(error.message).not.toContain("/opt/wan");
  });

  test("offers the models that its folder describes", async () => {
    const models = await wan2gp.models?.(context(), AbortSignal.timeout(5_000));
    expect(models).toEqual([{ name: "t2v_1.3B" }, { name: "z_image" }]);
  });

  test("is down without its folder", async () => {
    const ctx = createTestContext(wan2gp, undefined, { variant: "cli" });
    const health = await wan2gp.health(ctx, AbortSignal.timeout(5_000));
    expect(health).toMatchObject({ status: "down" });
  });
});
