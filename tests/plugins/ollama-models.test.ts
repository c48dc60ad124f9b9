/** The Ollama plugin against a fake: models on disk and in memory, health, settings. */
import { describe, expect, test } from "bun:test";
import plugin from "../../plugins/ollama/plugin.ts";
import {
  acceptsSettings,
  contextFor,
  errorOf,
  soon,
  start,
  startText,
  textError,
  textOf,
  until,
  vectorsOf,
} from "./ollama-harness.ts";

describe("models in memory", () => {
  test("are listed with the part that is on the GPU", async () => {
    const { ctx } = await start({ vramMiB: 3_000 });
    await textOf(ctx, { prompt: "steps=1" });
    expect(await plugin.residents?.(ctx, soon())).toEqual([
      { model: "llama3.1:8b", residentMiB: 3_000 },
    ]);
    const listed = await plugin.routes?.models.handle({}, ctx, soon());
    expect(listed).toContainEqual(
      expect.objectContaining({ name: "llama3.1:8b", loaded: true, gpu_percent: 58 }),
    );
  });

  test("leave when they are freed, and free settles only then", async () => {
    const { fake, ctx } = await start({ lingerMs: 200 });
    await textOf(ctx, { prompt: "steps=1" });
    await vectorsOf(ctx, { texts: ["a"] });
    await plugin.free?.(ctx, "snowflake-arctic-embed:l", soon());
    expect(fake.unloads).toBe(1);
    expect(await plugin.residents?.(ctx, soon())).toMatchObject([{ model: "llama3.1:8b" }]);
    await plugin.free?.(ctx, "llama3.1:8b", soon());
    expect(await plugin.residents?.(ctx, soon())).toEqual([]);
    // One that is not loaded, or not even there, is gone already.
    await plugin.free?.(ctx, "llama3.1:8b", soon());
    await plugin.free?.(ctx, "phi4", soon());
  });

  test("stay while a request runs, and free ends with its signal", async () => {
    const { ctx } = await start();
    const { job, outcome } = startText(ctx, { prompt: "hang" });
    await until(() => job.emitted.length > 0);
    const patience = AbortSignal.timeout(300);
    const freed = await plugin.free?.(ctx, "llama3.1:8b", patience).catch((error) => error.name);
    expect(freed).toBe("TimeoutError");
    await job.cancel();
    await outcome;
    await plugin.free?.(ctx, "llama3.1:8b", soon());
  });
});

describe("models on disk", () => {
  test("are listed for clients without cloud models", async () => {
    const { ctx } = await start();
    const listed = await plugin.routes?.models.handle({}, ctx, soon());
    expect(listed).toHaveLength(4);
    expect(listed).toContainEqual({
      name: "snowflake-arctic-embed:l",
      size_mib: 639,
      parameter_size: "334.09M",
      quantization: "F16",
      context_length: 512,
      num_ctx: 4096,
      capabilities: ["embedding"],
      loaded: false,
      gpu_percent: null,
    });
  });

  test("are flagged as remote where the operator allows cloud models", async () => {
    const { ctx } = await start({}, { allow_cloud_models: true });
    const listed = await plugin.routes?.models.handle({}, ctx, soon());
    expect(listed).toContainEqual(
      expect.objectContaining({ name: "gpt-oss:120b-cloud", remote: true }),
    );
  });

  test("may be named without the tag latest", async () => {
    const { ctx } = await start();
    const names = (await plugin.models?.(ctx, soon()))?.map(({ name }) => name);
    expect(names).toContain("llama3.2");
    expect(names).toContain("llama3.2:latest");
    expect(names).not.toContain("llama3.1");
  });

  test("have null for what an old Ollama does not say", async () => {
    const { ctx } = await start({ version: "0.11.4" });
    const [first] = (await plugin.models?.(ctx, soon())) ?? [];
    expect(first).toMatchObject({ context_length: null, capabilities: null });
  });
});

describe("health", () => {
  test("is ready with the version, and degraded when the version has a known hole", async () => {
    const ready = await start();
    expect(await plugin.health(ready.ctx, soon())).toEqual({ status: "ready", version: "0.33.0" });
    const old = await start({ version: "0.11.4" });
    expect(await plugin.health(old.ctx, soon())).toEqual({
      status: "degraded",
      reason: expect.stringContaining("update it to 0.17.1"),
    });
    for (const version of ["0.0.0", "0.17.1", "0.30.0-rc2", "1.0.0", "custom"]) {
      const other = await start({ version });
      expect(await plugin.health(other.ctx, soon())).toEqual({ status: "ready", version });
    }
  });

  test("says that the host name is refused when Ollama answers an empty 403", async () => {
    const { fake } = await start();
    const ctx = contextFor(fake.url, {}, { host: "gpu-box.example" });
    const error = errorOf(await plugin.health(ctx, soon()).catch((thrown: unknown) => thrown));
    expect(error.code).toBe("BACKEND_MISMATCH");
    expect(error.message).toContain("refuses this host name");
  });

  test("says that something else answers there", async () => {
    const page = () =>
      new Response("<html>hello</html>", { headers: { "content-type": "text/html" } });
    for (const answer of [
      page,
      () => Response.json({ name: "x" }),
      () => new Response("no", { status: 404 }),
    ]) {
      const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
      const ctx = contextFor(`http://127.0.0.1:${server.port}`);
      const error = errorOf(await plugin.health(ctx, soon()).catch((thrown: unknown) => thrown));
      expect(error.code).toBe("BACKEND_MISMATCH");
      await server.stop(true);
    }
  });

  test("says unreachable when nothing answers", async () => {
    const { fake, ctx } = await start();
    await fake.stop();
    const error = errorOf(await plugin.health(ctx, soon()).catch((thrown: unknown) => thrown));
    expect(error.code).toBe("BACKEND_UNREACHABLE");
  });
});

describe("settings", () => {
  test("take a keep_alive that Ollama takes, and no other", async () => {
    const { ctx, fake } = await start();
    for (const keep_alive of ["30m", "1h30m", "0", "-1m", "1.5h", "500ms", 300, -1, 0]) {
      expect(acceptsSettings({ keep_alive })).toBe(true);
      await textOf(contextFor(fake.url, { keep_alive }), { prompt: "steps=1" });
    }
    for (const keep_alive of ["-1", "300", "30 m", "forever", "", "5d"]) {
      expect(acceptsSettings({ keep_alive })).toBe(false);
      const config = { ...ctx.config, keep_alive };
      const error = await textError({ ...ctx, config }, { prompt: "steps=1" });
      expect(error.code).toBe("BACKEND_REJECTED");
    }
  });

  test("have defaults that are valid", () => {
    expect(acceptsSettings({})).toBe(true);
    expect(acceptsSettings({ num_ctx: { "llama3.1:8b": 0 } })).toBe(false);
  });
});
