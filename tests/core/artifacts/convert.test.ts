/** Outputs in the format that was asked for: what is made of what, and what stays behind (nothing). */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConverter } from "../../../core/artifacts/convert.ts";
import { type FoundFfmpeg, findFfmpeg } from "../../../core/artifacts/mod.ts";
import { createIds } from "../../../core/ids.ts";
import { AUDIO_FORMATS, type AudioFormat, BackendError } from "../../../core/sdk/mod.ts";
import { eventually } from "../../gateway.ts";
import { wav } from "./samples.ts";
import { MAX_BYTES, makeWorld, type World } from "./world.ts";

const { env } = process;
const FOLDER = join(import.meta.dir, "..", "..", "fixtures", "media");
const sample = (name: string): Uint8Array => new Uint8Array(readFileSync(join(FOLDER, name)));
const installed = await findFfmpeg({ setting: "auto", env });
const lacks = AUDIO_FORMATS.find((format) => installed.missing(format) !== undefined);
const needs = lacks === undefined ? "" : " (needs ffmpeg)";
const withFfmpeg = lacks === undefined ? test : test.skip;

let folder: string;
let world: World | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-convert-"));
});
afterEach(async () => {
  await world?.close();
  world = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const left = (): string[] => readdirSync(join(world?.folder ?? folder, "conversion"));

/** A program that says it has every encoder, and then does what the script says. */
async function pretended(script: string, timeoutMs?: number): Promise<FoundFfmpeg> {
  const path = join(folder, "ffmpeg");
  const encoders = "pcm_s16le libmp3lame flac libopus libvorbis".split(" ");
  const list = encoders.map((name) => `echo " A....D ${name} x"`).join("\n");
  writeFileSync(
    path,
    `#!/bin/sh\nfor it in "$@"; do if [ "$it" = -encoders ]; then\n${list}\nexit 0; fi; done\n${script}\n`,
  );
  chmodSync(path, 0o755);
  const found = await findFfmpeg({ setting: path, env, ...(timeoutMs ? { timeoutMs } : {}) });
  expect(found.problem).toBeUndefined();
  return found;
}

const codeOf = (error: unknown): string =>
  BackendError.is(error) ? error.code : String((error as { code?: unknown }).code ?? error);

describe("a sound", () => {
  const types: Record<AudioFormat, string> = {
    wav: "audio/wav",
    mp3: "audio/mpeg",
    flac: "audio/flac",
    opus: "audio/ogg",
    ogg: "audio/ogg",
  };
  for (const format of AUDIO_FORMATS.filter((name) => name !== "wav")) {
    withFfmpeg(`becomes ${format}${needs}`, async () => {
      world = await makeWorld(0, installed);
      let told = 0;
      const made = await world.put({
        body: wav(1),
        name: "song.wav",
        format,
        converting: () => void told++,
      });
      expect(made).toMatchObject({ name: `song.${format}`, mediaType: types[format] });
      expect(made.metadata).toMatchObject({ converted_from: "wav" });
      expect(Math.abs(Number(made.metadata.duration_seconds) - 1)).toBeLessThan(0.25);
      expect([told, left()]).toEqual([1, []]);
      // Asked for what it is already, it stays as it is.
      const bytes = await world.artifacts.read(made);
      const body = new Uint8Array(await new Response(bytes?.body as BodyInit).arrayBuffer());
      const again = await world.put({ body, name: "song.bin", format });
      expect(again).toMatchObject({ sha256: made.sha256, name: "song.bin" });
    });
  }

  for (const name of ["tone.mp3", "tone.flac", "tone.opus", "tone.ogg", "tone.m4a"]) {
    withFfmpeg(`becomes WAV of ${name}${needs}`, async () => {
      world = await makeWorld(0, installed);
      const made = await world.put({ body: sample(name), name, format: "wav" });
      expect(made).toMatchObject({ name: "tone.wav", mediaType: "audio/wav" });
    });
  }

  withFfmpeg(`loses its title and its comment, which may be the prompt${needs}`, async () => {
    world = await makeWorld(0, installed);
    const { runCommand } = await import("../../../core/runtime/mod.ts");
    const tagged = join(folder, "tagged.flac");
    const source = join(FOLDER, "tone.flac");
    await runCommand(
      ["ffmpeg", "-loglevel", "error", "-i", source, "-metadata", "comment=a secret wish", tagged],
      { timeoutMs: 10_000 },
    );
    const body = new Uint8Array(readFileSync(tagged));
    expect(Buffer.from(body).includes("a secret wish")).toBe(true);
    for (const format of ["mp3", "ogg", "opus", "wav"] as const) {
      const made = await world.put({ body, name: "x.flac", format });
      const found = await world.artifacts.read(made);
      const bytes = Buffer.from(await new Response(found?.body as BodyInit).arrayBuffer());
      expect(bytes.includes("a secret wish")).toBe(false);
    }
  });

  withFfmpeg(`that is none fails as a bad output${needs}`, async () => {
    world = await makeWorld(0, installed);
    const noise = new Uint8Array(4_000).map((_, index) => (index * 7919) % 251);
    noise.set(new TextEncoder().encode("fLaC"));
    const error = await world.put({ body: noise, name: "x.flac", format: "mp3" }).catch((it) => it);
    expect(codeOf(error)).toBe("BACKEND_BAD_OUTPUT");
    expect(error.message).not.toContain(world.folder);
    expect(left()).toEqual([]);
  });
});

describe("what is left alone", () => {
  test("is everything that is no sound, and every preview", async () => {
    world = await makeWorld(0, await pretended("exit 3"));
    const text = new TextEncoder().encode("[00:01.00] la la la");
    const lyrics = await world.put({ body: text, name: "song.lrc", format: "mp3" });
    expect(lyrics).toMatchObject({ name: "song.lrc", mediaType: "text/plain" });
    const options = { name: "wave.wav", role: "preview" as const };
    const preview = await world.put({ body: wav(0.1), options, format: "mp3" });
    expect(preview.mediaType).toBe("audio/wav");
  });
});

describe("ffmpeg", () => {
  test("that fails says why, without paths, and leaves nothing", async () => {
    world = await makeWorld(0, await pretended('echo "[x @ 0x1] $0 is broken" >&2; exit 1'));
    const error = await world.put({ body: wav(0.1), format: "mp3" }).catch((it) => it);
    expect(codeOf(error)).toBe("BACKEND_BAD_OUTPUT");
    expect(error.message).toContain("is broken");
    expect(left()).toEqual([]);
    expect(world.artifacts.ofJob("job-1")).toEqual([]);
  });

  test("that finds the disk full says so", async () => {
    world = await makeWorld(0, await pretended("echo 'x: No space left on device' >&2; exit 1"));
    const error = await world.put({ body: wav(0.1), format: "mp3" }).catch((it) => it);
    expect(codeOf(error)).toBe("STORAGE_FULL");
  });

  test("that does not end is ended", async () => {
    world = await makeWorld(0, await pretended("exec sleep 600", 300));
    const error = await world.put({ body: wav(0.1), format: "mp3" }).catch((it) => it);
    expect(codeOf(error)).toBe("STALLED");
    expect(left()).toEqual([]);
  });

  test("ends with a cancel, and what it wrote goes", async () => {
    const pid = join(folder, "pid");
    world = await makeWorld(0, await pretended(`echo $$ > ${pid}; exec sleep 600`));
    const abort = new AbortController();
    const putting = world
      .put({ body: wav(0.1), format: "mp3", signal: abort.signal })
      .catch((it) => it);
    const number = await eventually("it runs", () => {
      return existsSync(pid) && Number(readFileSync(pid, "utf8"));
    });
    abort.abort(new Error("the job was cancelled"));
    expect(String(await putting)).toContain("the job was cancelled");
    expect(left()).toEqual([]);
    await eventually("it has ended", () => !isAlive(number));
  });

  test("that makes more than an artifact may have is refused", async () => {
    // The last argument is the file that it shall write.
    const script = `for it in "$@"; do last=$it; done; head -c ${MAX_BYTES} /dev/zero > "\${last#file:}"`;
    world = await makeWorld(0, await pretended(script));
    const error = await world.put({ body: wav(0.1), format: "mp3" }).catch((it) => it);
    expect(codeOf(error)).toBe("BACKEND_BAD_OUTPUT");
    expect(error.message).toContain("larger than");
  });

  test("is told which kind of file it reads, and may read no other and no address", async () => {
    const said = join(folder, "said");
    world = await makeWorld(0, await pretended(`printf '%s\\n' "$@" > ${said}; exit 1`));
    await world.put({ body: wav(0.1), name: "$(touch x).wav", format: "mp3" }).catch(() => {});
    const told = readFileSync(said, "utf8").split("\n");
    expect(told.slice(told.indexOf("-protocol_whitelist")).slice(0, 2)[1]).toBe("file");
    expect(told.slice(told.indexOf("-f"))[1]).toBe("wav");
    expect(told.join(" ")).not.toContain("touch");
  });

  test("that is not there, or is turned off, says what is missing", async () => {
    const none = await findFfmpeg({ setting: "auto", env: { PATH: folder } });
    expect(none.missing("mp3")).toBe("ffmpeg is not installed on the gateway's machine");
    const off = await findFfmpeg({ setting: "off", env });
    expect(off.missing("mp3")).toContain("artifacts.ffmpeg");
    const wrong = await findFfmpeg({ setting: join(folder, "nothing"), env });
    expect(wrong.problem).toContain("not installed");
    world = await makeWorld(0, off);
    const error = await world.put({ body: wav(0.1), format: "mp3" }).catch((it) => it);
    expect(codeOf(error)).toBe("INTERNAL");
    expect(await world.put({ body: wav(0.1), format: "wav" })).toMatchObject({
      mediaType: "audio/wav",
    });
  });

  test("runs at most twice at once", async () => {
    const ffmpeg = await pretended("exit 0");
    let running = 0;
    let most = 0;
    const ends: (() => void)[] = [];
    const converter = createConverter({
      folder: join(folder, "conversion"),
      ids: createIds(),
      maxBytes: MAX_BYTES,
      ffmpeg: {
        missing: ffmpeg.missing,
        async convert({ target }) {
          most = Math.max(most, ++running);
          await new Promise<void>((resolve) => ends.push(resolve));
          writeFileSync(target, wav(0.1));
          running--;
        },
      },
    });
    const all = Array.from({ length: 5 }, () =>
      converter.convert(
        {
          format: "mp3",
          stream: new Blob([wav(0.1)]).stream(),
          signal: new AbortController().signal,
        },
        async ({ madeFrom }) => madeFrom,
      ),
    );
    for (let ended = 0; ended < 5; ended++) {
      (await eventually("one runs", () => ends.shift()))();
    }
    expect(await Promise.all(all)).toEqual(["wav", "wav", "wav", "wav", "wav"]);
    expect(most).toBe(2);
  });
});

test("what a killed gateway left of a conversion is removed at the start", async () => {
  const old = join(folder, "conversion", "0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21");
  mkdirSync(old, { recursive: true });
  writeFileSync(join(old, "source"), "half a song");
  createConverter({
    folder: join(folder, "conversion"),
    ids: createIds(),
    maxBytes: MAX_BYTES,
    ffmpeg: installed,
  });
  expect(readdirSync(join(folder, "conversion"))).toEqual([]);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}
