/** Programs as backends: what reaches them, what of them counts, and that nothing of them is left. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argument, command, definePlugin, inputs } from "switchyard/sdk";
import { createTestContext, createTestJob } from "switchyard/sdk/testing";
import { lookUp } from "../../../core/sdk/processes/table.ts";
import { createFakeProgram, type FakeProgram, WORKER } from "../../fakes/cli/program.ts";
import { eventually } from "../../gateway.ts";

const ON_LINUX = process.platform === "linux";
const NASTY = [
  "$(touch /tmp/switchyard-was-here) `id` ; rm -rf . && echo | tee x > y",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell would read it, and none may.
  "\"double\" 'single' \\back\\slash %s %n ${HOME} ~ * ?",
  "line one\nline two\r\nline three\ttab",
  "../../../../etc/passwd",
  "--help --out /tmp/elsewhere",
  "{{in}} {{out}} {{seed}}",
  "日本語 🚂 \u202e",
];

let program: FakeProgram;
let folder: string;
beforeEach(() => {
  program = createFakeProgram();
  folder = mkdtempSync(join(tmpdir(), "switchyard-jobs-"));
});
afterEach(() => {
  program.remove();
  rmSync(folder, { recursive: true, force: true });
});

interface Asked {
  readonly prompt: string;
  readonly init_audio?: { readonly artifact_id: string };
}

const transport = command<{ calls: string }, Asked>({
  title: "The worker",
  needs: () => ({ program: process.execPath }),
  files: ({ init_audio }) => ({ start: init_audio }),
  plan: ({ input }, { calls }, folders) => ({
    argv: [
      ...[process.execPath, WORKER, `--prompt-file=${folders.in}/prompt.txt`],
      ...["--out", folders.out, "--calls", calls, `--text=${input.prompt.slice(0, 1_000)}`],
      ...(folders.files.start ? ["--start", folders.files.start] : []),
    ],
    env: { TOOL_TOKEN: "s3cret-of-the-tool" },
    files: { "prompt.txt": input.prompt },
    outputs: [{ glob: "*.wav", except: "*_draft.wav", take: "one" }],
    progress: [{ pattern: "tqdm", stage: "Generating" }],
    graceMs: 500,
  }),
});

const plugin = definePlugin({
  apiVersion: 1,
  name: "worker",
  version: "1.0.0",
  title: "The worker",
  summary: "A fake.",
  config: {},
  capabilities: {
    "audio.generate": {
      route: "POST /generate/audio",
      input: inputs.audio,
      example: { prompt: "rain" },
      run: () => undefined,
    },
  },
  health: async () => ({ status: "ready" }),
});

function start(prompt: string, options: Parameters<typeof createTestJob>[1] = {}, input = {}) {
  const ctx = {
    ...createTestContext(plugin, undefined, {}, { folder }),
    config: { calls: program.calls },
  };
  const job = createTestJob<Asked>({ prompt, ...input }, options);
  const done = transport.run(job, ctx as any) as Promise<any>;
  done.catch(() => {});
  return { ctx, job, done };
}

const pidsOf = (word: string): number[] => program.noted(word).map(Number);
const lives = (pid: number): boolean => lookUp(pid)?.alive === true;
const failure = (done: Promise<unknown>): Promise<any> =>
  done.then(
    () => expect.unreachable("it should have failed"),
    (error) => error,
  );
const running = () => eventually("the program runs", () => pidsOf("RUN")[0]);
const jobFolders = () =>
  readdirSync(join(folder, "jobs")).map((name) => join(folder, "jobs", name));

describe("a program that works", () => {
  test("ends in the file it made, not in its draft or its parts", async () => {
    const { job, done, ctx } = start("rain steps=4");
    expect(await done).toEqual({ files: ["/artifacts/artifact-1"] });
    expect(job.artifacts.map(({ name, sizeBytes }) => [name, sizeBytes])).toEqual([
      ["take_one.wav", 4_044],
    ]);
    expect(ctx.owned).toEqual([]);
  });

  test("tells how far it is by its bars, without those of loading, and never goes back", async () => {
    const { job, done } = start("rain steps=6 pause=150");
    await done;
    const fractions = job.progressed
      .map(({ fraction }) => fraction)
      .filter((it) => it !== undefined);
    expect(fractions.length).toBeGreaterThan(2);
    expect(fractions[0]!).toBeLessThan(1);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(fractions.at(-1)).toBe(1);
    expect(job.progressed.at(-1)?.note).toBe("Generating");
  });

  test("owns its process as long as it runs", async () => {
    const { done, ctx } = start("rain steps=5 pause=100");
    await running();
    const [owned] = await eventually("it is owned", () => ctx.owned.length > 0 && [...ctx.owned]);
    expect(lookUp(owned!)?.group).toBe(owned);
    await done;
    expect(ctx.owned).toEqual([]);
    expect(lives(owned!)).toBe(false);
  });

  test("gets no secret of the gateway, and what its settings say", async () => {
    process.env.SWITCHYARD_TEST_SECRET = "of the gateway";
    await start("rain").done;
    delete process.env.SWITCHYARD_TEST_SECRET;
    const env = JSON.parse(program.noted("ENV")[0]!);
    expect(env).toMatchObject({ PYTHONUNBUFFERED: "1", TOOL_TOKEN: "s3cret-of-the-tool" });
    expect(env.PATH).toBe(process.env.PATH);
    expect(JSON.stringify(env)).not.toContain("of the gateway");
  });

  test("reads a client's file under a name of ours, with the ending of what it is", async () => {
    const artifact_id = "01890a5d-ac96-774b-bcce-b302099a8059";
    const file = new File(["RIFF sound"], "../../etc/cron.d/x.sh", { type: "audio/wav" });
    const job = { files: { [artifact_id]: file } };
    await start("rain", job, { init_audio: { artifact_id } }).done;
    const args: string[] = JSON.parse(program.noted("ARGS")[0]!);
    const path = args[args.indexOf("--start") + 1]!;
    expect(path).toStartWith(join(folder, "jobs"));
    expect(path).toEndWith("/in/start.wav");
    expect(readFileSync(path, "utf8")).toBe("RIFF sound");
  });

  test("may print without end: its log is bounded", async () => {
    const { done } = start("rain flood");
    await done;
    expect(statSync(join(jobFolders()[0]!, "run.log")).size).toBeLessThan(12 * 1024 * 1024);
  });

  for (const prompt of NASTY) {
    test(`gets ${JSON.stringify(prompt.slice(0, 30))} letter by letter`, async () => {
      await start(prompt).done;
      const args: string[] = JSON.parse(program.noted("ARGS")[0]!);
      expect(args).toContain(`--text=${prompt}`);
      expect(readFileSync(join(jobFolders()[0]!, "in/prompt.txt"), "utf8")).toBe(prompt);
      expect(existsSync("/tmp/switchyard-was-here")).toBe(false);
    });
  }

  test("takes a megabyte and a NUL in a file", async () => {
    const prompt = `rain ${"x".repeat(1_000_000)}\0`;
    await start(prompt).done;
    expect(readFileSync(join(jobFolders()[0]!, "in/prompt.txt"), "utf8")).toBe(prompt);
  });

  test("gets no NUL as an argument: the request is refused", async () => {
    const error = await failure(start("rain \0").done);
    expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
    expect(error.message).toContain("NUL");
    expect(pidsOf("RUN")).toEqual([]);
  });
});

describe("a text as an argument of its own", () => {
  test("is refused when it could be an option", () => {
    expect(argument("prompt", "rain - and wind")).toBe("rain - and wind");
    expect(() => argument("prompt", "--help")).toThrow('begins with "-"');
  });
});

describe("a program that fails", () => {
  test("says so in its last lines, without folders and secrets", async () => {
    const error = await failure(start("fail").done);
    expect(error).toMatchObject({ code: "BACKEND_FAILED" });
    expect(error.message).toContain("exit code 3: ValueError: no weights in model.pt");
    const shown = JSON.stringify([error.message, error.details]);
    for (const secret of ["secret-place", "hf_abc", "s3cret", "/opt", tmpdir()]) {
      expect(shown).not.toContain(secret);
    }
    expect(readdirSync(jobFolders()[0]!).sort()).toEqual([
      "end.json",
      "over",
      "pid.json",
      "run.log",
    ]);
  });

  test("for want of GPU memory is OUT_OF_MEMORY", async () => {
    expect(await failure(start("oom").done)).toMatchObject({ code: "OUT_OF_MEMORY" });
  });

  test("says that all is well and has made nothing, or an empty file", async () => {
    for (const prompt of ["null-output", "empty"]) {
      expect(await failure(start(prompt).done)).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
    }
  });

  test("is killed by the system: lost, so that it is tried again", async () => {
    const { done } = start("hang");
    process.kill(await running(), "SIGKILL");
    expect(await failure(done)).toMatchObject({ code: "BACKEND_LOST" });
  });

  test("loses its attendant: lost, and ended", async () => {
    const { done, ctx } = start("hang");
    const pid = await running();
    const [leader] = await eventually("it is owned", () => ctx.owned.length > 0 && [...ctx.owned]);
    process.kill(leader!, "SIGKILL");
    expect(await failure(done)).toMatchObject({ code: "BACKEND_LOST" });
    expect(lives(pid)).toBe(false);
  });
});

describe("an end", () => {
  test("reaches the program and its children, and settles when all are gone", async () => {
    const { job, done } = start("hang family");
    const pid = await running();
    const [child] = await eventually(
      "it has a child",
      () => pidsOf("CHILD").length > 0 && pidsOf("CHILD"),
    );
    await job.cancel();
    expect(await failure(done)).toEqual(job.signal.reason);
    expect([pid, child!].filter(lives)).toEqual([]);
    expect(program.noted("TERM")).toHaveLength(1);
  });

  test("that a program ignores is enforced", async () => {
    const { job, done } = start("stubborn");
    const pid = await running();
    await eventually("it listens to signals", () => job.progressed.length > 0);
    await job.cancel();
    await failure(done);
    expect(lives(pid)).toBe(false);
  });

  test("of a program is the end of the children it leaves", async () => {
    const { done } = start("leftover");
    await done;
    const [child] = pidsOf("CHILD");
    expect(lives(child!)).toBe(false);
  });
});

describe.skipIf(!ON_LINUX)("what nobody comes back for (needs /proc)", () => {
  test("is ended when it has lost its folder", async () => {
    const first = start("hang");
    const pid = await running();
    await eventually("it is owned", () => first.ctx.owned.length > 0);
    rmSync(join(jobFolders()[0]!, "pid.json"));
    // Another gateway on the same folder: it knows nothing of that run.
    const next = start("rain").ctx;
    await command<object, Asked>({
      title: "The worker",
      needs: () => ({ program: process.execPath }),
      plan: () => ({ argv: [], outputs: [] }),
    }).health({ ...next, config: {} } as any, AbortSignal.timeout(5_000));
    await eventually("it is ended", () => !lives(pid));
    await failure(first.done);
  });

  test("stays for its job while it has a record, and counts as the backend's", async () => {
    const first = start("hang");
    const pid = await running();
    await eventually("it is owned", () => first.ctx.owned.length > 0);
    const owned: number[] = [];
    const health = await command<object, Asked>({
      title: "The worker",
      needs: () => ({ program: process.execPath }),
      plan: () => ({ argv: [], outputs: [] }),
    }).health(
      {
        ...first.ctx,
        config: {},
        owns(own: number) {
          owned.push(own);
          return () => {};
        },
      } as any,
      AbortSignal.timeout(5_000),
    );
    expect(health.status).toBe("ready");
    expect(owned).toEqual([...first.ctx.owned]);
    expect(lives(pid)).toBe(true);
    await first.job.cancel();
    await failure(first.done);
  });

  test("is removed: of ended jobs only the newest folders stay", async () => {
    for (let index = 0; index < 10; index++) {
      const id = `01890a5d-ac96-774b-bcce-b302099a8${String(100 + index)}`;
      await failure(start("null-output pause=0 steps=1", { id }).done);
    }
    expect(jobFolders()).toHaveLength(8);
  });
});

describe("health", () => {
  const health = (needs: object) =>
    command<object, Asked>({
      title: "The worker",
      needs: () => ({ program: process.execPath, ...needs }),
      plan: () => ({ argv: [], outputs: [] }),
    }).health(
      { ...createTestContext(plugin, undefined, {}, { folder }), config: {} } as any,
      AbortSignal.timeout(5_000),
    );

  test("names what is missing, without the folders of this machine", async () => {
    expect(await health({})).toMatchObject({ status: "ready" });
    expect(await health({ program: "no-such-program" })).toEqual({
      status: "down",
      reason:
        'The worker cannot run: the program "no-such-program" is not there, or may not be run',
    });
    expect(await health({ cwd: "/opt/none" })).toMatchObject({
      reason: 'The worker cannot run: the folder "none" does not exist',
    });
    expect(await health({ cwd: folder, files: ["infer.py"] })).toMatchObject({
      reason: 'The worker cannot run: "infer.py" does not exist',
    });
    expect(await health({ program: "sh" })).toMatchObject({ status: "ready" });
  });
});
