/** Measures of sounds, videos and animations, of whole files and of files that mean harm. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createMediaReader } from "../../../core/artifacts/media.ts";
import { makeWorld, type World } from "./world.ts";

const FOLDER = join(import.meta.dir, "..", "..", "fixtures", "media");
const sample = (name: string): Uint8Array => new Uint8Array(readFileSync(join(FOLDER, name)));

let world: World;
beforeEach(async () => {
  world = await makeWorld();
});
afterEach(() => world.close());

/** A copy with a number of four bytes written behind the first occurrence of the name. */
function harmed(name: string, box: string, offset: number, value = 0xffffffff): Uint8Array {
  const bytes = sample(name);
  const at = Buffer.from(bytes).indexOf(box, 0, "latin1");
  expect(at).toBeGreaterThan(0);
  new DataView(bytes.buffer).setUint32(at + offset, value);
  return bytes;
}

describe("the metadata of an output", () => {
  const sounds: readonly [string, string][] = [
    ["tone.mp3", "audio/mpeg"],
    ["tone.flac", "audio/flac"],
    ["tone.opus", "audio/ogg"],
    ["tone.ogg", "audio/ogg"],
    ["tone.m4a", "audio/mp4"],
  ];
  for (const [name, mediaType] of sounds) {
    test(`has the duration of ${name}`, async () => {
      const { metadata, ...artifact } = await world.put({ body: sample(name), name });
      expect(artifact.mediaType).toBe(mediaType);
      expect(Object.keys(metadata)).toEqual(["duration_seconds"]);
      expect(Math.abs(Number(metadata.duration_seconds) - 1.5)).toBeLessThan(0.2);
    });
  }

  for (const name of ["clip.mp4", "clip.mov", "clip.webm", "clip.mkv", "piped.webm"]) {
    test(`has the duration and the size of ${name}`, async () => {
      const { metadata } = await world.put({ body: sample(name), name });
      expect(metadata).toMatchObject({ width: 96, height: 64 });
      expect(Math.abs(Number(metadata.duration_seconds) - 1.5)).toBeLessThan(0.3);
    });
  }

  test("has the size of a GIF and how long it takes once through", async () => {
    const { metadata } = await world.put({ body: sample("clip.gif") });
    expect(metadata).toEqual({ width: 48, height: 32, duration_seconds: 1.5 });
  });

  test("has the size of an AVIF", async () => {
    const { metadata, mediaType } = await world.put({ body: sample("still.avif") });
    expect([mediaType, metadata]).toEqual(["image/avif", { width: 96, height: 64 }]);
  });

  test("of a cut animation has what is certain", async () => {
    const { metadata } = await world.put({ body: sample("clip.gif").subarray(0, 2_000) });
    expect(metadata).toEqual({ width: 48, height: 32 });
  });
});

describe("a file that means harm", () => {
  test("is stored, without what it kept the reader from", async () => {
    const body = harmed("clip.mov", "stts", 12);
    const before = process.memoryUsage.rss();
    let peak = before;
    const look = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
    }, 10);
    const artifact = await world.put({ body, name: "clip.mov" });
    clearInterval(look);
    expect(artifact.metadata.duration_seconds).toBeUndefined();
    expect((peak - before) / 1024 ** 2).toBeLessThan(600);
    const after = await world.put({ body: sample("clip.mov") });
    expect(after.metadata).toMatchObject({ width: 96, height: 64 });
  });

  test("does no harm in any of its tables", async () => {
    const boxes = ["stsz", "stts", "stsc", "stco", "stss", "elst", "mvhd", "mdhd", "tkhd"];
    for (const box of boxes) {
      for (const offset of [8, 12, 16]) {
        const stored = await world.put({ body: harmed("clip.mp4", box, offset) });
        expect(stored.sizeBytes).toBeGreaterThan(0);
      }
    }
  }, 120_000);

  test("that cannot be read has no measures, and the next one has", async () => {
    const reader = createMediaReader({ monotonicMs: () => performance.now() });
    const body = sample("tone.mp3");
    const media = { mediaType: "audio/mpeg", sizeBytes: body.length };
    expect(
      await reader.measure({ ...media, read: () => Promise.reject(new Error("gone")) }),
    ).toEqual({});
    const read = async (first: number, end: number) => body.slice(first, end);
    const both = await Promise.all([
      reader.measure({ ...media, read }),
      reader.measure({ ...media, read }),
    ]);
    expect(both.map(({ duration_seconds = 0 }) => Math.round(duration_seconds * 2))).toEqual([
      3, 3,
    ]);
    await reader.close();
  });
});

test("a picture's text chunks are stored as they came", async () => {
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAAFnRFWHRwcm9tcHQAYSByZWQgYmljeWNsZVXjrfUAAAAKSURBVAjXY2AAAAACAAHiIbwzAAAAAElFTkSuQmCC",
    "base64",
  );
  expect(png.includes("prompt\0a red bicycle", 0, "latin1")).toBe(true);
  const artifact = await world.put({ body: new Uint8Array(png), name: "a.png" });
  const found = await world.artifacts.read(artifact);
  const kept = Buffer.from(await new Response(found?.body as BodyInit).arrayBuffer());
  expect(kept.equals(png)).toBe(true);
});
