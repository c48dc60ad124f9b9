/** What a request becomes on the command line that an operator wrote. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import plugin from "../../plugins/subprocess/plugin.ts";
import { createFakeProgram, type FakeProgram, WORKER } from "../fakes/cli/program.ts";

let program: FakeProgram;
beforeEach(async () => {
  program = createFakeProgram();
  await program.install();
});
afterEach(() => program.remove());

const capability = plugin.capabilities["audio.generate"];

function backend(own: object = {}) {
  const ctx = createTestContext(plugin, undefined, { ...program.config, ...own });
  return ctx;
}

const commandOf = (...own: (string | string[])[]) => [
  ...[process.execPath, WORKER, "--prompt-file={{in}}/prompt.txt", "--out", "{{out}}"],
  ...["--calls", program.calls],
  ...own,
];

async function argumentsOf(input: object, own: object): Promise<string[]> {
  const ctx = backend(own);
  try {
    await capability.run(createTestJob({ prompt: "rain", ...input }) as any, ctx as any);
  } finally {
    rmSync(ctx.folder, { recursive: true });
  }
  const args: string[] = JSON.parse(program.noted("ARGS")[0]!);
  return args.slice(args.indexOf(program.calls) + 1);
}

describe("a command", () => {
  test("has each text in its one argument, and leaves out what nobody gives", async () => {
    const command = commandOf("--text={{prompt}}", ["--seed", "{{seed}}"], "--cfg={{cfg}}", [
      "--n",
      "{{steps}}",
    ]);
    expect(
      await argumentsOf({ prompt: "rain; rm -rf / --x {{seed}} $HOME", steps: 4 }, { command }),
    ).toEqual(["--text=rain; rm -rf / --x {{seed}} $HOME", "--n", "4"]);
  });

  test("has the operator's defaults and an option's own", async () => {
    const own = {
      command: commandOf("--seed={{seed}}", "--mood={{options.mood}}", "--top={{options.top_k}}"),
      defaults: { seed: 7 },
      options: {
        mood: { type: "string", default: "calm" },
        top_k: { type: "integer", minimum: 1 },
      },
    };
    expect(await argumentsOf({ options: { top_k: 5 } }, own)).toEqual([
      "--seed=7",
      "--mood=calm",
      "--top=5",
    ]);
  });

  test("has no option that a request's text could have made", () => {
    const ctx = backend({ command: commandOf("{{prompt}}") });
    const check = (prompt: string) => capability.check?.({ prompt }, ctx.config);
    expect(check("--help")).toContain('prompt begins with "-"');
    expect(check("rain --help")).toBeUndefined();
    expect(check("rain \0")).toContain("NUL");
    const named = backend({ command: commandOf("--text={{prompt}}") });
    expect(capability.check?.({ prompt: "--help" }, named.config)).toBeUndefined();
  });

  test("needs the fields that it cannot do without", () => {
    const ctx = backend({ required: ["seed"] });
    expect(capability.check?.({ prompt: "rain" }, ctx.config)).toBe("seed is required here");
    expect(capability.check?.({ prompt: "rain", seed: 0 }, ctx.config)).toBeUndefined();
  });
});

describe("the settings", () => {
  test("say which fields of a request are of use, and which kind of work it is", () => {
    const { config } = backend({
      command: commandOf("--x={{steps}}", "--y={{options.y}}"),
      options: { y: { type: "number" } },
    });
    expect([...capability.takes!(config)].sort()).toEqual(["format", "options", "prompt", "steps"]);
    expect(plugin.offers?.(config)).toEqual(["audio.generate"]);
  });

  test("declare options as schemas", async () => {
    const ctx = backend({ options: { top_k: { type: "integer", minimum: 1, default: 5 } } });
    const declared = await capability.options?.(ctx as any, AbortSignal.timeout(1_000));
    expect(declared?.top_k).toMatchObject({ type: "integer", minimum: 1, default: 5 });
  });

  test("cost working memory only, since nothing stays", () => {
    const { config } = backend({ model: "yue", vram_mib: 8_000 });
    expect(capability.vram?.({ prompt: "rain", duration_seconds: 30 }, config)).toEqual({
      model: "yue",
      residentMiB: 0,
      workingMiB: 8_000,
      size: 30,
    });
  });

  test.each<[object, string]>([
    [{ command: [] }, "command must name a program first"],
    [{ command: ["{{prompt}}"] }, "not with a request's text"],
    [{ command: ["sh", "{{lyrics}}"] }, "{{lyrics}} is no field of audio.generate"],
    [{ command: ["sh", "{{options.none}}"] }, "{{options.none}} is no field"],
    [{ command: ["sh", "--out={{out}}/{{prompt}}.wav"] }, "makes a path of a request's text"],
    [{ env: { A: "{{prompt}}" } }, "env takes no {{…}}"],
    [{ cwd: "tools/yue" }, "cwd must be a full path"],
    [{ progress: [{ pattern: "(" }] }, '"(" is no regular expression'],
    [{ needs: ["weights.safetensors"] }, '"weights.safetensors" does not exist'],
  ])("%j make no backend, and health says why", async (own, reason) => {
    const health = await plugin.health(backend(own) as any, AbortSignal.timeout(5_000));
    expect(health).toMatchObject({ status: "down", reason: expect.stringContaining(reason) });
  });

  test("take no name of a file with a folder in it", () => {
    expect(() => backend({ files: { "../x": "{{prompt}}" } })).toThrow("files");
  });
});
