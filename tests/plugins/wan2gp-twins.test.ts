/**
 * The plugin against real MCP servers: the framing, the errors and the refusals are the package's
 * own, in the version that WanGP pins and in newer ones. Each needs an environment in Python, and
 * says so where there is none.
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  conformanceRules,
  createTestContext,
  createTestJob,
  type TestJob,
  until,
} from "switchyard/sdk/testing";
import wan2gp from "../../plugins/wan2gp/plugin.ts";
import { LINES } from "../twins/mcp/environments.ts";
import { type McpTwin, mcpServer } from "../twins/mcp/servers.ts";

const { "video.generate": video, "image.generate": image } = wan2gp.capabilities;
const plugin = { ...wan2gp, capabilities: { "video.generate": video, "image.generate": image } };
const config = { poll_interval_ms: 10, image_model: "z_image" };
const submits = Object.fromEntries(
  Object.keys(plugin.capabilities).map((kind) => [kind, "POST /mcp wangp_generate"]),
);
const LIMIT_MS = 120_000;

describe.each(LINES.map((line) => ({ line, server: mcpServer(line) })))(
  "mcp $line",
  ({ line, server }) => {
    const { skip, version, start } = server;
    const title = (name: string) => `${name}${skip === undefined ? "" : ` (${skip})`}`;
    const real = (name: string, body: (twin: McpTwin) => Promise<void>) =>
      test.skipIf(skip !== undefined)(
        title(name),
        async () => {
          const twin = await start();
          try {
            await body(twin);
          } finally {
            await twin.stop();
          }
        },
        LIMIT_MS,
      );
    const rpc = (twin: McpTwin, path: string, headers: Record<string, string>) =>
      fetch(`${twin.url}${path}`, {
        method: "POST",
        redirect: "manual",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
      });
    const place = line === "1.10" ? "/mcp/" : "/mcp";
    const both = "application/json, text/event-stream";
    afterAll(() => server.close(), LIMIT_MS);

    for (const rule of conformanceRules(plugin, { fake: start, config, submits })) {
      const why = rule.skip ?? skip;
      const name = `${version}: ${rule.name}`;
      if (why !== undefined) test.skip(`${name} (${why})`, () => {});
      else test(name, () => rule.check(), LIMIT_MS);
    }

    real("answers in one place, and sends to it from the other", async (twin) => {
      const other = place === "/mcp" ? "/mcp/" : "/mcp";
      expect((await rpc(twin, place, { accept: both })).status).toBe(200);
      expect((await rpc(twin, other, { accept: both })).status).toBe(307);
    });

    real("is strict about what we accept in its own way", async (twin) => {
      const status = async (accept: string) => (await rpc(twin, place, { accept })).status;
      expect(await status("application/json")).toBe(line === "1.10" ? 406 : 200);
      expect(await status("*/*")).toBe(line === "2.3" ? 200 : 406);
      expect(await status("text/html")).toBe(406);
    });

    real("is busy with a second job, also where it hides why", async (twin) => {
      const ctx = createTestContext(wan2gp, twin.url, config);
      const first = createTestJob({ prompt: "hang" });
      const running = Promise.resolve(video.run(first, ctx)).catch(() => {});
      await until(() => first.progressed.length > 0, 10_000, "no progress");
      const error = await Promise.resolve(video.run(createTestJob({ prompt: "b" }), ctx)).catch(
        Object,
      );
      expect(error).toMatchObject({ code: "BACKEND_BUSY" });
      await first.cancel();
      await running;
    });

    real("takes a picture to start from", async (twin) => {
      const ctx = createTestContext(wan2gp, twin.url, config);
      const id = "01890a5d-ac96-774b-bcce-b302099a8059";
      const file = new File(["a picture"], "x.png", { type: "image/png" });
      const input = { prompt: "a", model: "i2v_2_2", init_image: { artifact_id: id } };
      const job: TestJob<any> = createTestJob(input, { files: { [id]: file } });
      await video.run(job, ctx);
      expect(twin.sources[0]?.image_start).toMatch(/^visual:/);
      expect(job.artifacts).toHaveLength(1);
    });

    real("says nothing for a model that it does not have", async (twin) => {
      const ctx = createTestContext(wan2gp, twin.url, config);
      const job = createTestJob({ prompt: "a", model: "nope" });
      const error = await Promise.resolve(video.run(job, ctx)).catch(Object);
      expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
    });
  },
);
