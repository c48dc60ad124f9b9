/**
 * The plugin against a real ComfyUI, whose URL stands in SWITCHYARD_LIVE_COMFYUI. No model is
 * needed. Where the server has the test nodes SlowImage and CrashNode (docs:
 * plugins/comfyui/README.md), progress, previews, failures and cancelling are tried too.
 */
import { describe, expect, test } from "bun:test";
import { libraryOf } from "../../plugins/comfyui/library.ts";
import plugin from "../../plugins/comfyui/plugin.ts";
import { contextOf, failure, jobOf, pngSize, run, until } from "./comfyui-cases.ts";

const url = process.env.SWITCHYARD_LIVE_COMFYUI ?? "";

const nodes = async (name: string): Promise<any> =>
  (await (await fetch(`${url}/object_info/${name}`)).json())[name];
const hasTestNodes = url !== "" && (await nodes("SlowImage")) !== undefined;

/** For the summary of `npm test`, which shows why a test was skipped. */
const needs = (there: boolean, what: string) => (there ? "" : ` (needs ${what})`);

const context = url === "" ? undefined! : contextOf(url);
const soon = () => AbortSignal.timeout(10_000);
const TIMEOUT_MS = 60_000;

const save = (node: string) => ({
  class_type: "SaveImage",
  inputs: { images: [node, 0], filename_prefix: "live" },
});
const graphJob = (drawing: { class_type: string; inputs: object }, options = {}) => {
  const graph = { "1": drawing, "2": save("1") };
  return jobOf({ graph, width: undefined, height: undefined }, options);
};
const size = { width: 96, height: 64, batch_size: 1 };
const plain = (color: number, options = {}) =>
  graphJob({ class_type: "EmptyImage", inputs: { ...size, color } }, options);
const slow = (inputs: object, options = {}) => {
  const seed = Math.floor(Math.random() * 2 ** 50);
  const all = { steps: 20, delay: 0.05, seed, fail: false, ...inputs };
  return graphJob({ class_type: "SlowImage", inputs: all }, options);
};
const crash = (inputs: object) => {
  const seed = Math.floor(Math.random() * 2 ** 50);
  return graphJob({ class_type: "CrashNode", inputs: { seed, s: 5, ...inputs } });
};

describe.skipIf(url === "")(`a real ComfyUI${needs(url !== "", "SWITCHYARD_LIVE_COMFYUI")}`, () => {
  test("is ready and lists its models", async () => {
    const health = await plugin.health(context, soon());
    const version = "version" in health ? health.version : undefined;
    console.log(`ComfyUI ${version} at ${url}`);
    expect(health.status).toBe("ready");
    expect(version).toMatch(/^\d+\.\d+/);
    expect(Array.isArray(await plugin.models?.(context, soon()))).toBe(true);
  });

  test("knows every node, input and choice of the shipped workflows", async () => {
    for (const { name, graph } of libraryOf(context.config).workflows.values()) {
      for (const [id, { class_type, inputs }] of Object.entries(graph)) {
        const known = await nodes(class_type);
        const required: Record<string, any> = known?.input.required ?? {};
        expect(`${name} ${id} ${Object.keys(required).filter((input) => !(input in inputs))}`).toBe(
          `${name} ${id} `,
        );
        for (const [input, value] of Object.entries(inputs)) {
          const choices = required[input]?.[1]?.options ?? required[input]?.[0];
          // Files of a model's or of a request's.
          if (value === "" || /\.safetensors$/.test(String(value))) continue;
          if (!Array.isArray(choices)) continue;
          expect(choices).toContain(value);
        }
      }
    }
  });

  test(
    "draws a picture",
    async () => {
      const job = plain(0x336699);
      await run(job, context);
      expect(job.artifacts.map(({ mediaType }) => mediaType)).toEqual(["image/png"]);
      expect(pngSize(job.artifacts[0]!.bytes)).toEqual({ width: 96, height: 64 });
      expect(job.progressed.at(-1)?.fraction).toBe(1);
    },
    TIMEOUT_MS,
  );

  test(
    "makes a new file for the same graph",
    async () => {
      const [first, second] = [plain(0x112233), plain(0x112233)];
      await run(first, context);
      await run(second, context);
      expect(second.artifacts[0]!.name).not.toBe(first.artifacts[0]!.name);
    },
    TIMEOUT_MS,
  );

  test(
    "is not asked twice for a job that is picked up again",
    async () => {
      const first = plain(0x445566);
      await run(first, context);
      const again = { id: first.id, attempt: 2 };
      const noted = plain(0x445566, { ...again, steps: first.steps });
      const lost = plain(0x445566, again);
      await run(noted, context);
      await run(lost, context);
      expect(noted.artifacts[0]!.name).toBe(first.artifacts[0]!.name);
      expect(lost.artifacts[0]!.name).toBe(first.artifacts[0]!.name);
    },
    TIMEOUT_MS,
  );

  test("refuses a missing model file and a missing node in words that name them", async () => {
    const model = await failure(run(jobOf({ model: "no-such-file.safetensors" }), context));
    expect(model).toMatchObject({ code: "BACKEND_REJECTED" });
    expect(model.message).toContain('ckpt_name cannot be "no-such-file.safetensors"');
    const node = await failure(run(graphJob({ class_type: "NoSuchNode", inputs: {} }), context));
    expect(node).toMatchObject({ code: "BACKEND_REJECTED" });
    expect(node.message).toContain("NoSuchNode");
  });

  test("gives its memory back", async () => {
    await plugin.free?.(context, "any", AbortSignal.timeout(30_000));
  }, 40_000);
});

describe.skipIf(!hasTestNodes)(
  `a real ComfyUI with the test nodes${needs(hasTestNodes, "a SlowImage node")}`,
  () => {
    test(
      "shows progress and previews",
      async () => {
        const job = slow({});
        await run(job, context);
        const fractions = job.progressed.map(({ fraction }) => fraction ?? 0);
        expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
        expect(new Set(fractions).size).toBeGreaterThan(15);
        expect(job.previews.length).toBeGreaterThan(10);
        expect(job.previews[0]?.mediaType).toBe("image/jpeg");
      },
      TIMEOUT_MS,
    );

    test(
      "tells why a node failed",
      async () => {
        const error = await failure(run(slow({ fail: true }), context));
        expect(error).toMatchObject({
          code: "BACKEND_FAILED",
          message: "ComfyUI failed in SlowImage: boom on purpose (ValueError)",
        });
      },
      TIMEOUT_MS,
    );

    test(
      "runs a failed job again under the same id",
      async () => {
        const first = slow({ fail: true });
        await failure(run(first, context));
        const second = slow({}, { id: first.id, attempt: 2 });
        await run(second, context);
        expect(second.artifacts).toHaveLength(1);
      },
      TIMEOUT_MS,
    );

    test(
      "says out of memory in the way that the plugin looks for",
      async () => {
        const error = await failure(run(crash({ kind: "oom" }), context));
        expect(error.code).toBe("OUT_OF_MEMORY");
      },
      TIMEOUT_MS,
    );

    test(
      "stops a running prompt when its job is cancelled",
      async () => {
        const job = slow({ steps: 2_000 });
        const end = failure(run(job, context));
        await until(() => job.previews.length > 2, "previews");
        await job.cancel();
        expect((await end).message).toBe("the job was cancelled");
        expect(await plugin.health(context, soon())).toMatchObject({ busy: false });
      },
      TIMEOUT_MS,
    );

    test(
      "takes a waiting prompt back and leaves the running one alone",
      async () => {
        const running = slow({ steps: 60 });
        const first = run(running, context);
        await until(() => running.previews.length > 0, "the first job runs");
        const waiting = slow({});
        const end = failure(run(waiting, context));
        await until(() => waiting.steps.has("submit"), "the second job waits");
        await waiting.cancel();
        await end;
        await first;
        expect(running.artifacts).toHaveLength(1);
        expect(waiting.previews).toHaveLength(0);
      },
      TIMEOUT_MS,
    );

    test(
      "finishes a node that does not look, and the job ends after it",
      async () => {
        const job = crash({ kind: "sleep", s: 4 });
        const started = performance.now();
        const end = failure(run(job, context));
        await until(() => job.progressed.length > 0, "the prompt runs");
        await job.cancel();
        await end;
        expect(performance.now() - started).toBeGreaterThan(3_000);
        expect(job.artifacts).toHaveLength(0);
        expect(await plugin.health(context, soon())).toMatchObject({ busy: false });
      },
      TIMEOUT_MS,
    );

    test(
      "shows progress to the attempt that picks a running job up",
      async () => {
        const first = slow({ steps: 100 });
        const stopping = new AbortController();
        const died = failure(run({ ...first, signal: stopping.signal }, context));
        await until(() => first.previews.length > 2, "previews");
        stopping.abort(Object.assign(new Error("stopping"), { code: "SHUTTING_DOWN" }));
        await died;
        const steps = new Map([["submit", { clientId: `${first.id}-1` }]]);
        const second = slow({}, { id: first.id, attempt: 2, steps });
        await run(second, context);
        expect(second.artifacts).toHaveLength(1);
        expect(second.previews.length).toBeGreaterThan(10);
      },
      TIMEOUT_MS,
    );
  },
);
