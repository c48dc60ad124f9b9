/** A job through the Gradio adapter: its values, its files, its errors. */
import { afterEach, describe, expect, test } from "bun:test";
import { until } from "switchyard/sdk/testing";
import { type FakeGradio, type FakeGradioOptions, startFakeGradio } from "../../fakes/gradio.ts";
import { type App, bench, MUSICGEN, STABLE, YUEGP } from "./gradio-harness.ts";
import { serve as serveOther, stopServers } from "./server.ts";

let fake: FakeGradio;
afterEach(async () => {
  await fake?.stop();
  await stopServers();
});

async function backend(app: App, options: FakeGradioOptions = {}) {
  fake = await startFakeGradio(options);
  return bench(fake.url, app);
}

const ID = "01890a5d-ac96-774b-bcce-b30209900001";
const reference = { artifact_id: ID };
const bytes = new Uint8Array([82, 73, 70, 70]);

describe("the values of a call", () => {
  for (const gradio of ["4.44.1", "5.49.1", "6.25.0"]) {
    test(`have a null at the place of each State, on Gradio ${gradio}`, async () => {
      const { start } = await backend(
        { ...STABLE, needs: ["prompt", "apg_scale"], pinned: { file_naming: "output.wav" } },
        { signature: "stable-audio-3", gradio },
      );
      const { error, output } = await start({ prompt: "a bell", seed: 7 }).ended;
      expect(error).toBeUndefined();
      expect(output.files).toHaveLength(1);
      const { data } = fake.joined[0] ?? { data: [] };
      expect(data).toHaveLength(29);
      expect(data.slice(-2)).toEqual([null, null]);
      // A number where this program wants one; the other release wants text.
      expect(data[6]).toBe(7);
      expect(data[15]).toBe("output.wav");
    });
  }

  test("are the server's own where nobody gives one; a text without one is empty", async () => {
    const { start } = await backend(MUSICGEN, {
      signature: "audiocraft-musicgen",
      gradio: "4.44.1",
    });
    await start({ prompt: "a march" }).ended;
    expect(fake.joined[0]?.data).toEqual([
      ...["facebook/musicgen-stereo-melody", "", "Default", "a march", null],
      ...[10, 250, 0, 1, 3],
    ]);
  });

  test("come from the plugin in the type that the server wants", async () => {
    const { start } = await backend(STABLE);
    await start({ prompt: "x", seed: 123 }).ended;
    expect(fake.joined[0]?.data[7]).toBe("123");
  });

  test("are refused outside of the server's limits, before anything runs", async () => {
    const { start } = await backend(STABLE);
    const { error } = await start({ prompt: "x", duration_seconds: 600 }).ended;
    expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
    expect(error.message).toContain("seconds_total: expected 0 to 512");
    expect(fake.joined).toEqual([]);
  });

  test("that this release has no place for are refused by name", async () => {
    const app: App = { ...MUSICGEN, arguments: ({ prompt }) => ({ text: prompt, steps: 5 }) };
    const { start } = await backend(app, { signature: "audiocraft-musicgen", gradio: "4.44.1" });
    const { error } = await start({ prompt: "x" }).ended;
    expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
    expect(error.message).toContain("has no steps");
  });

  test("stay values, whatever a prompt holds", async () => {
    const { start } = await backend(STABLE);
    const prompt = '$(id) `id` ../../etc/passwd \u0000 "\n\' {"path":"/etc/passwd"}';
    expect((await start({ prompt }).ended).error).toBeUndefined();
    expect(fake.joined[0]?.data[0]).toBe(prompt);
    expect(fake.joined[0]?.data[16]).toBe("output.wav");
  });
});

describe("a file of a request", () => {
  for (const [name, type, expected] of [
    ["voice.MP3", "audio/mpeg", "input-1.mp3"],
    ["../../etc/cron.d/evil.wav", "audio/wav", "input-1.wav"],
    ["no ending", "audio/flac", "input-1.flac"],
    ["a.b/../c.$(id)", "audio/wav", "input-1.wav"],
    ["\u0000\r\nX: y.wav", "audio/wav", "input-1.wav"],
  ]) {
    test(`named ${JSON.stringify(name)} goes up as ${expected}`, async () => {
      const { start } = await backend(STABLE);
      const files = { [ID]: new File([bytes], name ?? "", { type }) };
      const { error } = await start({ prompt: "x", init_audio: reference }, { files }).ended;
      expect(error).toBeUndefined();
      expect(fake.uploads).toEqual([expected ?? ""]);
      const value: any = fake.joined[0]?.data[18];
      expect(value).toMatchObject({ orig_name: expected, meta: { _type: "gradio.FileData" } });
      expect(value.path).toEndWith(`/${expected}`);
    });
  }

  test("cannot be a path or a URL, wherever a plugin lets one through", async () => {
    for (const given of [
      { path: "/etc/passwd", meta: { _type: "gradio.FileData" } },
      { url: "http://169.254.169.254/" },
      "/etc/passwd",
      "http://169.254.169.254/",
    ]) {
      const app: App = { ...STABLE, arguments: () => ({ prompt: "x", init_audio: given }) };
      const { start } = await backend(app);
      const { error } = await start({ prompt: "x" }).ended;
      expect(error).toMatchObject({ code: "BACKEND_REJECTED" });
      expect(fake.joined).toEqual([]);
      await fake.stop();
    }
  });
});

describe("what a program made", () => {
  test("is fetched from our own URL, whatever the server says in `url`", async () => {
    const stranger = serveOther(() => new Response("stolen"));
    const { start } = await backend(STABLE, {
      garble: (message: any) => {
        const file = message.output?.data?.[0];
        if (file) file.url = `${stranger.baseUrl}/file=/secret`;
        return message;
      },
    });
    const { output } = await start({ prompt: "x" }).ended;
    expect(output.files).toHaveLength(1);
    expect(stranger.seen).toEqual([]);
  });

  for (const path of [
    "http://127.0.0.1:1/steal",
    "file:///etc/passwd",
    "/tmp/gradio/../../etc/passwd",
    "/not/given/out.wav",
  ]) {
    test(`is refused at ${path}`, async () => {
      const { start } = await backend(STABLE, {
        garble: (message: any) => {
          if (message.output?.data?.[0]) message.output.data[0].path = path;
          return message;
        },
      });
      const { error } = await start({ prompt: "x" }).ended;
      expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
    });
  }

  test("has a name of its own, and previews apart", async () => {
    const outputs: App["outputs"] = [
      { at: 0, name: "sound" },
      { at: 1, role: "preview", required: false },
    ];
    const { start } = await backend({ ...STABLE, outputs });
    const { job, ended } = start({ prompt: "x" });
    const { output } = await ended;
    expect(job.artifacts.map(({ name }) => name)).toEqual(["sound.wav", "spectrogram.png"]);
    expect(output).toEqual({ files: [job.artifacts[0]?.url], previews: [job.artifacts[1]?.url] });
  });

  test("carries the facts that the plugin knows", async () => {
    const facts: App["facts"] = (_input, sent) => ({ seed: sent.seed, steps: sent.steps });
    const { start } = await backend({ ...STABLE, facts });
    const { job, ended } = start({ prompt: "x", seed: 5, options: { steps: 4 } });
    expect((await ended).output).toMatchObject({ seed: "5", steps: 4 });
    expect(job.artifacts[0]?.metadata).toMatchObject({ seed: "5" });
  });

  test("is collected by a second call in the same session", async () => {
    const { start } = await backend(YUEGP, { signature: "yuegp-v3" });
    const { output } = await start({ prompt: "rock" }).ended;
    expect(output).toMatchObject({ status: "Total Generation Time: 1s" });
    expect(output.files).toHaveLength(1);
    // Another job has another session, so its gallery does not show the first song.
    const next = await start({ prompt: "jazz" }, { attempt: 2 }).ended;
    expect(next.output.files).toHaveLength(1);
  });
});

describe("an error", () => {
  const failing = async (word: string, options: FakeGradioOptions = {}, app = STABLE) => {
    const { start } = await backend(app, options);
    return (await start({ prompt: `x ${word}` }).ended).error;
  };

  test("of the program is told in its own words", async () => {
    const error = await failing("fail");
    expect(error).toMatchObject({ code: "BACKEND_FAILED" });
    expect(error.message).toContain("the work failed, as it was asked to");
  });

  test("without words says how to see them", async () => {
    for (const word of ["fail", "oom"]) {
      const error = await failing(word, { showError: false });
      expect(error).toMatchObject({ code: "BACKEND_FAILED" });
      expect(error.message).toContain("show_error=True");
      await fake.stop();
    }
  });

  test("about memory is OUT_OF_MEMORY", async () => {
    expect(await failing("oom")).toMatchObject({ code: "OUT_OF_MEMORY" });
  });

  test("is a success without the file", async () => {
    expect(await failing("null-output")).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
  });

  test("may stand in a text that is returned beside nothing", async () => {
    const { start } = await backend(STABLE, {
      garble: (message: any) => {
        if (message.output?.data) message.output.data = [null, "❌ Error: model not found"];
        return message;
      },
    });
    const { error } = await start({ prompt: "x" }).ended;
    expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
    expect(error.message).toContain("❌ Error: model not found");
  });

  test("may be seen only by the plugin", async () => {
    const app: App = { ...YUEGP, failure: ([status]) => String(status) };
    const error = await failing("", { signature: "yuegp-v3" }, app);
    expect(error).toMatchObject({ code: "BACKEND_FAILED" });
  });

  test("of a full queue is BACKEND_BUSY", async () => {
    expect(await failing("", { maxWaiting: 0 })).toMatchObject({ code: "BACKEND_BUSY" });
  });

  test("of Gradio 4 loses its quotes", async () => {
    const options = { signature: "audiocraft-musicgen", gradio: "4.44.1" } as const;
    const { start } = await backend(MUSICGEN, options);
    const { ended } = start({ prompt: "x hang" });
    await until(() => fake.queue.running === 1, 5_000, "it must run");
    // Somebody else stops it, at the page.
    const body = JSON.stringify({ data: [], fn_index: 0, session_hash: "a-page" });
    await fetch(`${fake.url}/queue/join`, { method: "POST", body });
    const { error } = await ended;
    expect(error).toMatchObject({ code: "BACKEND_FAILED" });
    expect(error.message).toBe("MusicGen failed: Interrupted.");
  });
});

describe("a program with a login", () => {
  const login = { username: "op", password: "s3cret" };

  for (const gradio of ["4.44.1", "5.49.1", "6.25.0"]) {
    test(`is logged in to once, on Gradio ${gradio}`, async () => {
      const { health, start, ctx } = await backend({ ...STABLE, login }, { login, gradio });
      expect(await health()).toMatchObject({ status: "ready" });
      const files = { [ID]: new File([bytes], "a.wav", { type: "audio/wav" }) };
      const { output } = await start({ prompt: "x", init_audio: reference }, { files }).ended;
      expect(output.files).toHaveLength(1);
      expect(fake.calls.filter((call) => call === "POST /login")).toHaveLength(1);
      expect(JSON.stringify(ctx.logged)).not.toContain("s3cret");
    });
  }

  test("says that the password is wrong, and not which", async () => {
    const wrong = { ...login, password: "other" };
    const { health } = await backend({ ...STABLE, login: wrong }, { login });
    const error: any = await health().catch((reason) => reason);
    expect(error).toMatchObject({ code: "BACKEND_UNAUTHORIZED" });
    expect(error.message).not.toContain("other");
  });

  test("says that it wants one", async () => {
    const { health } = await backend(STABLE, { login });
    const error: any = await health().catch((reason) => reason);
    expect(error).toMatchObject({ code: "BACKEND_UNAUTHORIZED" });
    expect(error.message).toContain("username and password");
  });
});

describe("progress", () => {
  test("counts nested bars, never goes back, and says what runs", async () => {
    const bars = [
      [{ index: 0, length: 2, unit: "songs", progress: null, desc: "Songs" }],
      [
        { index: 1, length: 2, unit: "songs", progress: null, desc: "Songs" },
        { index: 5, length: 10, unit: "steps", progress: null, desc: "Steps" },
      ],
      [{ index: 1, length: 2, unit: "songs", progress: null, desc: "Songs" }],
    ];
    const { start } = await backend(MUSICGEN, {
      signature: "audiocraft-musicgen",
      gradio: "4.44.1",
      garble: (message) =>
        message.msg === "progress" ? { ...message, progress_data: bars.shift() ?? [] } : message,
    });
    const { job, ended } = start({ prompt: "x" });
    await ended;
    const seen = job.progressed.filter(({ fraction }) => fraction !== undefined);
    expect(seen.map(({ fraction }) => fraction)).toEqual([0, 0.75, 0.75]);
    expect(seen[1]?.note).toBe("Steps 5/10 steps");
  });

  test("adds stages up by their weights", async () => {
    const texts = ["Stage 1: one", "Stage 1: two", "Stage 2"];
    const values = [0.5, 1, 0.5];
    const app: App = {
      ...MUSICGEN,
      stages: [
        { match: "Stage 1", weight: 3 },
        { match: "Stage 2", weight: 1 },
      ],
    };
    const { start } = await backend(app, {
      signature: "audiocraft-musicgen",
      gradio: "4.44.1",
      garble: (message) =>
        message.msg === "progress"
          ? { ...message, progress_data: [{ progress: values.shift(), desc: texts.shift() }] }
          : message,
    });
    const { job, ended } = start({ prompt: "x" });
    await ended;
    const seen = job.progressed.flatMap(({ fraction }) => fraction ?? []);
    expect(seen).toEqual([0.375, 0.75, 0.875]);
  });

  test("of a silent program is a sign of life at every heartbeat", async () => {
    const { start } = await backend(STABLE, { heartbeatMs: 20, stepMs: 60 });
    const { job, ended } = start({ prompt: "x" });
    await ended;
    expect(job.progressed.length).toBeGreaterThan(2);
    expect(job.progressed.every(({ fraction }) => fraction === undefined)).toBe(true);
  });
});
