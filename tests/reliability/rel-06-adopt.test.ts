/**
 * REL-06: after a kill -9 a backend that can be asked is asked, and one that cannot runs it once
 * more.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type FakeComfyUI, startFakeComfyUI } from "../fakes/comfyui.ts";
import { eventually, type Gateway, startGateway, temporaryFolder } from "../gateway.ts";
import { workConfig } from "./plugins.ts";

describe("REL-06, adopt rather than run again", () => {
  let gateway: Gateway;
  let comfyui: FakeComfyUI | undefined;
  afterEach(async () => {
    await gateway.remove();
    await comfyui?.stop();
    comfyui = undefined;
  });

  for (const when of ["while the gateway is away", "after the gateway is back"]) {
    test(`a picture that ComfyUI finishes ${when} is made once and delivered`, async () => {
      const folder = temporaryFolder();
      comfyui = await startFakeComfyUI({ stepMs: 20 });
      const { executions, submissions } = comfyui;
      const config = `backends: { comfyui: { use: comfyui, url: "${comfyui.url}" } }`;
      gateway = await startGateway({ folder, config });
      const steps = when.startsWith("while") ? 10 : 60;
      const body = { prompt: `a bridge steps=${steps}`, width: 512, height: 512 };
      const { data } = await gateway.call("POST", "/generate/image", body);
      const id = data.job_id;
      await eventually("ComfyUI runs it", () => executions.get(id) === 1);
      await gateway.stop("SIGKILL");
      if (when.startsWith("while")) {
        const history = `${comfyui.url}/history/${id}`;
        await eventually(
          "it is done",
          async () => id in ((await (await fetch(history)).json()) as any),
        );
      }
      const before = performance.now();
      gateway = await startGateway({ folder, config, useKey: gateway.key });
      const job = await gateway.ended(id);
      if (when.startsWith("while")) expect(performance.now() - before).toBeLessThan(5_000);
      expect(job).toMatchObject({ status: "completed", attempts: 2 });
      expect(executions.get(id)).toBe(1);
      expect(submissions.get(id)).toBe(1);
      const [artifact] = job.output.artifacts;
      const picture = await fetch(gateway.url + artifact.url, {
        headers: { "x-api-key": gateway.key },
      });
      const bytes = Buffer.from(await picture.arrayBuffer());
      expect(bytes.subarray(1, 4).toString()).toBe("PNG");
    }, 30_000);
  }

  test("a prompt that was sent, but not yet noted down, is not sent again", async () => {
    const folder = temporaryFolder();
    comfyui = await startFakeComfyUI({ stepMs: 20 });
    const config = `backends: { comfyui: { use: comfyui, url: "${comfyui.url}" } }`;
    gateway = await startGateway({ folder, config });
    const thaw = comfyui.freeze();
    const prompt = "a bridge steps=20";
    const sent = gateway.call("POST", "/generate/image", { prompt, width: 512, height: 512 });
    const { job_id: id } = (await sent).data;
    const { calls, submissions, executions } = comfyui;
    await eventually("it is on its way", () => calls.includes("POST /prompt"));
    // The answer never reaches the gateway.
    await gateway.stop("SIGKILL");
    thaw();
    gateway = await startGateway({ folder, config, useKey: gateway.key });
    expect((await gateway.ended(id)).status).toBe("completed");
    expect([submissions.get(id), executions.get(id)]).toEqual([1, 1]);
  }, 30_000);

  test("work that cannot be asked for runs exactly once more", async () => {
    const folder = temporaryFolder();
    const config = workConfig(folder);
    gateway = await startGateway({ folder, config });
    const { data } = await gateway.call("POST", "/test/rerun", { ms: 400 });
    const runs = () => {
      const lines = readFileSync(join(folder, "journal"), "utf8").split("\n");
      return lines.filter((line) => line.startsWith(`run ${data.job_id}`));
    };
    const running = async () =>
      (await gateway.call("GET", `/jobs/${data.job_id}`)).data.status === "running";
    await eventually("it runs", running);
    await gateway.stop("SIGKILL");
    gateway = await startGateway({ folder, config, useKey: gateway.key });
    const job = await gateway.ended(data.job_id);
    expect(job).toMatchObject({ status: "completed", attempts: 2, output: { attempt: 2 } });
    expect(runs()).toEqual([`run ${data.job_id} 1`, `run ${data.job_id} 2`]);
  }, 30_000);

  test("work with a handle is not handed over a second time", async () => {
    const folder = temporaryFolder();
    const config = workConfig(folder);
    gateway = await startGateway({ folder, config });
    const { data } = await gateway.call("POST", "/test/resume", { ms: 400 });
    const journal = join(folder, "journal");
    await eventually(
      "it runs",
      async () =>
        (await Bun.file(journal).exists()) && readFileSync(journal, "utf8").includes("run "),
    );
    await gateway.stop("SIGKILL");
    gateway = await startGateway({ folder, config, useKey: gateway.key });
    expect((await gateway.ended(data.job_id)).output.handle).toBe(data.job_id);
    expect(readFileSync(journal, "utf8").match(/^submit /gm)).toHaveLength(1);
  }, 30_000);
});
