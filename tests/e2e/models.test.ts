/** What backends can do, told and held against requests: fields, options, models, formats. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";

const BAND = resolve(import.meta.dir, "..", "fixtures", "plugins", "band", "plugin.ts");

describe(`what backends can do, on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `
health: { timeout_ms: 500 }
artifacts: { ffmpeg: "off" }
backends:
  plain: { use: "${BAND}", fields: [duration_seconds, model], songs: [march, waltz] }
  choir: { use: "${BAND}", fields: [lyrics, voice, model], songs: [hymn] }
  solo: { use: "${BAND}", kinds: [audio.generate] }
  mute: { use: "${BAND}", silent: true, fields: [style] }
  espeak: { use: espeak }
`,
    });
    await eventually("all are ready", async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.every(({ status }: any) => status === "ready");
    });
  });
  afterAll(() => gateway.remove());

  const play = (body: object) =>
    gateway.call("POST", "/generate/music", body, { headers: { prefer: "wait=20" } });
  const errorsOf = async (body: object) => {
    const { status, error } = await play(body);
    return [status, ...(error?.details?.errors ?? [{ message: error?.message }])];
  };

  test("GET /backends names only what a backend offers with its settings", async () => {
    const { data } = await gateway.call("GET", "/backends");
    const offered = Object.fromEntries(data.map((it: any) => [it.name, it.capabilities]));
    expect(offered).toMatchObject({ plain: ["music.generate"], solo: ["audio.generate"] });
  });

  test("GET /models tells fields with their limits, options, formats and models", async () => {
    const { status, data } = await gateway.call("GET", "/models?backend=plain");
    expect(status).toBe(200);
    const [item, ...others] = data.items;
    expect(others).toEqual([]);
    expect(item).toMatchObject({
      backend: "plain",
      title: "Band",
      capability: "music.generate",
      route: "POST /generate/music",
      status: "ready",
      takes: { type: "object", required: ["prompt"] },
      options: { tempo: { type: "integer", minimum: 40, maximum: 200, default: 120 } },
      models: [{ name: "march" }, { name: "waltz" }],
      default_model: null,
      notice: null,
    });
    const taken = ["prompt", "duration_seconds", "model", "format", "options"];
    expect(Object.keys(item.takes.properties).sort()).toEqual(taken.sort());
    expect(item.takes.properties.duration_seconds).toMatchObject({ type: "number", maximum: 600 });
    const why = "conversion is turned off (artifacts.ffmpeg)";
    expect(item.formats).toEqual([
      { format: "wav", made_by: "backend", missing: null },
      { format: "mp3", made_by: null, missing: why },
      { format: "flac", made_by: "backend", missing: null },
      { format: "opus", made_by: null, missing: why },
      { format: "ogg", made_by: null, missing: why },
    ]);
  });

  test("GET /models can be narrowed down, and is quick although one server hangs", async () => {
    const began = Date.now();
    const { data } = await gateway.call("GET", "/models?capability=music.generate");
    expect(data.items.map((it: any) => it.backend)).toEqual(["plain", "choir", "mute"]);
    expect(data.items[2]).toMatchObject({ backend: "mute", options: null, models: null });
    expect(Date.now() - began).toBeLessThan(5_000);
    const { status, error } = await gateway.call("GET", "/models?backend=plein");
    expect([status, error.message]).toEqual([
      404,
      'No backend is called "plein"; did you mean "plain"?',
    ]);
    const unknown = await gateway.call("GET", "/models?capability=tea.brew");
    expect(unknown.data).toEqual({ items: [] });
  });

  test("espeak tells its options and that wav is what it makes", async () => {
    const { data } = await gateway.call("GET", "/models?backend=espeak");
    expect(data.items[0]).toMatchObject({
      options: { pitch: { minimum: 0.5, maximum: 2, default: 1 } },
      notice: expect.stringContaining("GPL"),
      models: null,
    });
  });

  test("a request goes to the first backend that takes its fields", async () => {
    const backendOf = async (body: object) => (await play(body)).data.output.backend;
    expect(await backendOf({ prompt: "x" })).toBe("plain");
    expect(await backendOf({ prompt: "x", lyrics: "la la" })).toBe("choir");
    // What asks for nothing decides nothing.
    expect(await backendOf({ prompt: "x", lyrics: null, options: {} })).toBe("plain");
    expect(await backendOf({ prompt: "x", model: "hymn" })).toBe("choir");
    expect(await backendOf({ prompt: "x", model: "waltz" })).toBe("plain");
  });

  test("a field that the named backend does not take is refused with who does", async () => {
    expect(await errorsOf({ prompt: "x", backend: "plain", lyrics: "la" })).toEqual([
      422,
      { field: "/lyrics", message: "Band does not take lyrics; Band (choir) does" },
    ]);
    expect(await errorsOf({ prompt: "x", backend: "plain", seed: 7 })).toEqual([
      422,
      { field: "/seed", message: "Band does not take seed, nor does any other backend here" },
    ]);
  });

  test("fields that nobody takes, or nobody together, are refused with who takes what", async () => {
    expect(await errorsOf({ prompt: "x", seed: 7 })).toEqual([
      422,
      {
        field: "/seed",
        message: "no backend here that offers music.generate takes seed; leave it out",
      },
    ]);
    const together =
      "no backend here takes lyrics, duration_seconds together " +
      "(lyrics: Band (choir); duration_seconds: Band (plain))";
    expect(await errorsOf({ prompt: "x", lyrics: "la", duration_seconds: 9 })).toEqual([
      422,
      { field: "/lyrics", message: together },
      { field: "/duration_seconds", message: together },
    ]);
  });

  test("a slip in a field's name is refused with the guess; what nobody knows is dropped", async () => {
    expect(await errorsOf({ prompt: "x", duration_second: 9 })).toEqual([
      422,
      {
        field: "/duration_second",
        message: "is no field of music.generate; did you mean duration_seconds?",
      },
    ]);
    const { data } = await play({ prompt: "x", client_trace: "abc", prompt_id: 7 });
    expect(data.output.given).toEqual({ prompt: "x" });
  });

  test("an option beside `options` is refused with where it belongs", async () => {
    const { status, error } = await gateway.call("POST", "/tts", { text: "Hi", pitch: 1.5 });
    expect([status, error.details.errors]).toEqual([
      422,
      [{ field: "/pitch", message: "is an option of eSpeak NG; send it as options.pitch" }],
    ]);
  });

  test("options are held against what the server declares", async () => {
    const range = "a whole number from 40 to 200, 120 unless said";
    expect(await errorsOf({ prompt: "x", options: { temppo: 90 } })).toEqual([
      422,
      {
        field: "/options/temppo",
        message: `Band has no option "temppo"; did you mean "tempo" (${range})?`,
      },
    ]);
    expect(await errorsOf({ prompt: "x", options: { tempo: 900, key: "f" } })).toEqual([
      422,
      { field: "/options/tempo", message: `expected ${range}` },
      { field: "/options/key", message: "expected one of major, minor" },
    ]);
    const { data } = await play({ prompt: "x", options: { tempo: 90 } });
    expect(data.output.given.options).toEqual({ tempo: 90 });
  });

  test("options of a server that cannot be asked are accepted; of one that has none, refused", async () => {
    const { data } = await play({ prompt: "x", backend: "mute", options: { anything: 1 } });
    expect(data.output.given.options).toEqual({ anything: 1 });
    const audio = { prompt: "x", options: { anything: 1 } };
    const { status, error } = await gateway.call("POST", "/generate/audio", audio);
    expect([status, error.details.errors[0].field]).toEqual([422, "/options"]);
  });

  test("a format that cannot be had is refused before there is a job", async () => {
    const { status, error } = await gateway.call("POST", "/tts", { text: "Hi", format: "mp3" });
    expect([status, error.message]).toEqual([
      422,
      "Invalid body field /format: eSpeak NG does not make mp3, and conversion is turned off " +
        "(artifacts.ffmpeg); possible now: wav",
    ]);
  });

  test("a dry run and a retry follow the same fields", async () => {
    const dry = await gateway.call("POST", "/generate/music?dry_run=true", {
      prompt: "x",
      lyrics: "la",
    });
    expect(dry.data).toMatchObject({ feasible: true, backend: "choir" });
    const refused = await gateway.call("POST", "/generate/music?dry_run=true", {
      prompt: "x",
      backend: "plain",
      lyrics: "la",
    });
    expect(refused.status).toBe(422);
  });

  test("voices of several backends are one list, filtered alike, whoever hangs", async () => {
    const voices = async (query: string) => {
      const { status, data } = await gateway.call("GET", `/tts/voices${query}`);
      expect(status).toBe(200);
      const band = data.filter((it: any) => it.backend === "plain").map((it: any) => it.name);
      const own = data.filter((it: any) => it.backend === "espeak" && it.kind === "voice");
      return [band, own.map((it: any) => it.languages[0].split("-")[0])];
    };
    const [all, everything] = await voices("");
    expect(all).toEqual(["Greta", "Ada", "Jean"]);
    expect(everything.length).toBeGreaterThan(90);
    expect(await voices("?language=de")).toEqual([["Greta", "Ada"], ["de"]]);
    expect(await voices("?language=FR&backend=plain")).toEqual([["Jean"], []]);
    // A field that nobody filters by is no filter.
    expect((await voices("?colour=red&backend=plain"))[0]).toEqual(["Greta", "Ada", "Jean"]);
  });

  test("a body of very many and very long names is answered soon", async () => {
    const many = Object.fromEntries(
      Array.from({ length: 20_000 }, (_, index) => [`promptt${index}`, 1]),
    );
    const began = Date.now();
    await play({ ...many, prompt: "x" });
    await play({ prompt: "x", ["p".repeat(500_000)]: 1 });
    await play({ prompt: "x", options: many });
    await play({ prompt: "x", options: { ["t".repeat(500_000)]: 1 } });
    await play({ prompt: "x", backend: "b".repeat(500_000) });
    expect(Date.now() - began).toBeLessThan(8_000);
  });
});
