/** Which media type stored bytes get, and what an output is refused for. */
import { describe, expect, test } from "bun:test";
import { createInspector } from "../../../core/artifacts/inspect.ts";
import { mayShowInline, mediaTypeOf } from "../../../core/artifacts/sniff.ts";
import { box, join, jpeg, latin1, mp4, png, uint32, wav, webp } from "./samples.ts";

const ftyp = (brand: string, rest = "") => box("ftyp", join(brand, uint32(0), rest));

describe("the type found in the bytes", () => {
  test.each<[string, Uint8Array]>([
    ["image/png", png()],
    ["image/jpeg", jpeg()],
    ["image/gif", latin1("GIF89a\x01\x00\x01\x00")],
    ["image/webp", webp()],
    ["image/avif", ftyp("avif")],
    ["image/avif", ftyp("mif1", "mif1avif")],
    ["image/heic", ftyp("heic")],
    ["image/tiff", latin1("II*\0\x08\0\0\0")],
    ["audio/wav", wav()],
    ["audio/mpeg", latin1("ID3\x04\0\0\0\0\0\0")],
    ["audio/mpeg", latin1("\xff\xfb\x90\x64\0\0")],
    ["audio/aac", latin1("\xff\xf1\x50\x80\0\0")],
    ["audio/flac", latin1("fLaC\0\0\0\x22")],
    ["audio/ogg", latin1("OggS\0\x02\0\0OpusHead")],
    ["audio/mp4", ftyp("M4A ")],
    ["video/mp4", mp4()],
    ["video/quicktime", ftyp("qt  ")],
    ["video/quicktime", latin1("\0\0\0\x08wide\0\0\0\x10mdat")],
    ["video/webm", latin1("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm")],
    ["video/x-matroska", latin1("\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska")],
    ["model/gltf-binary", latin1("glTF\x02\0\0\0")],
    ["application/pdf", latin1("%PDF-1.7\n")],
    ["application/zip", latin1("PK\x03\x04\x14\0")],
    ["application/json", latin1('{"a": 1}')],
    ["application/json", latin1("[1, 2]")],
    ["application/json", latin1(' \n[{"x":1}]')],
    ["text/plain", latin1("[00:12.00] a line of a song")],
    ["text/plain", latin1("hello")],
    ["text/plain", new TextEncoder().encode("ねこ ".repeat(400)).subarray(0, 1024)],
    ["application/octet-stream", latin1("\x00\x01\x02\x03")],
    ["application/octet-stream", latin1("\xff\xfeh\x00t\x00m\x00l\x00")],
    ["application/octet-stream", latin1("caf\xe9 in Latin-1")],
  ])("%s", (type, bytes) => {
    expect(mediaTypeOf(bytes)).toBe(type);
    // A false claim changes nothing.
    expect(mediaTypeOf(bytes, "text/html")).toBe(/text|json/.test(type) ? UNKNOWN : type);
    expect(mediaTypeOf(bytes, "image/svg+xml")).not.toContain("svg");
  });
  const UNKNOWN = "application/octet-stream";

  test.each([
    ["<!DOCTYPE html><script>alert(1)</script>", "text/html"],
    ["<html>", "text/plain"],
    ["\ufeff  \n<ScRiPt>alert(1)</sCrIpT>", undefined],
    ["<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml"],
    ["<?xml version='1.0'?><svg/>", "image/png"],
    ["<!-- --><svg onload=alert(1)>", "application/json"],
    ["</title><img src=x onerror=alert(1)>", undefined],
    ["alert(1)", "text/javascript"],
    ["alert(1)", "application/javascript"],
    ["body{}", "text/css"],
    ["plain words", "text/html; charset=utf-8"],
    ["plain words", "application/xhtml+xml"],
    ["plain words", "image/svg+xml"],
  ])("what a browser could run is application/octet-stream: %j as %p", (content, declared) => {
    const type = mediaTypeOf(new TextEncoder().encode(content), declared);
    expect(type).toBe(UNKNOWN);
    expect(mayShowInline(type)).toBe(false);
  });

  test.each<[Uint8Array, string, string]>([
    [ftyp("isom"), "audio/mp4", "audio/mp4"],
    [latin1("OggS\0\x02"), "audio/opus", "audio/opus"],
    [latin1("\x1a\x45\xdf\xa3webm"), "audio/webm;codecs=opus", "audio/webm"],
    [latin1("a,b\n1,2"), "text/csv", "text/csv"],
    [latin1("WEBVTT\n"), "Text/VTT; charset=utf-8", "text/vtt"],
    [latin1("not json"), "application/json", "text/plain"],
    [png(), "image/jpeg", "image/png"],
    [latin1("\x00\x01\x02"), "image/png", UNKNOWN],
  ])("a claim chooses only among types with the same look: %#", (bytes, declared, expected) => {
    expect(mediaTypeOf(bytes, declared)).toBe(expected);
  });
});

/** The findings, or the message of the refusal; the bytes come in pieces of this size. */
function inspect(bytes: Uint8Array, declared?: string, pieceBytes = 1000) {
  const inspector = createInspector(declared);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    inspector.feed(bytes.subarray(at, at + pieceBytes));
  }
  try {
    return inspector.finish();
  } catch (error) {
    expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
    return (error as Error).message;
  }
}

describe("a whole file", () => {
  test.each<[string, Uint8Array, Record<string, unknown>]>([
    ["a PNG", png(640, 480), { width: 640, height: 480 }],
    ["a PNG with bytes behind it", join(png(5, 6), "\0\0\0"), { width: 5, height: 6 }],
    ["a JPEG behind 40,000 bytes of notes", jpeg(320, 200), { width: 320, height: 200 }],
    ["a WebP", webp(33, 44), { width: 33, height: 44 }],
    ["a WAV", wav(0.5), { duration_seconds: 0.5 }],
    ["a WAV written to a pipe", wav(0.25, 8000, 0xffffffff), { duration_seconds: 0.25 }],
    ["a WAV of a server that streams", wav(0.25, 8000, 0), { duration_seconds: 0.25 }],
    ["an MP4", mp4(), {}],
    ["a text", latin1("The wide river"), {}],
  ])("%s passes and is measured, however it is cut into pieces", (_, bytes, measures) => {
    for (const pieceBytes of [1, 7, 1000, 1_000_000]) {
      expect(inspect(bytes, undefined, pieceBytes)).toMatchObject({ measures });
    }
  });
});

describe("a file that was cut short is refused", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["PNG", png(), /PNG is cut short/],
    ["JPEG", jpeg(), /JPEG is cut short/],
    ["WAV", wav(), /WAV is cut short: it has \d+ of 8044 bytes/],
    ["WebP", webp(), /WebP is cut short/],
    ["MP4", mp4(), /video\/mp4 file is cut short/],
    ["M4A", mp4("M4A "), /audio\/mp4 file is cut short/],
    ["MOV", mp4("qt  "), /video\/quicktime file is cut short/],
  ])("%s, at any length", (_, bytes, message) => {
    for (const share of [0.2, 0.5, 0.9, 0.995]) {
      const cut = bytes.subarray(0, Math.floor(bytes.length * share));
      expect(inspect(cut)).toMatch(message);
    }
  });

  test("an MP4 that ends exactly behind its media has no index and cannot be played", () => {
    const whole = mp4();
    expect(inspect(whole.subarray(0, whole.length - 208))).toMatch(/no "moov" box/);
  });
});

describe("an error page in place of a file", () => {
  const page = latin1("<!DOCTYPE html><title>502 Bad Gateway</title>");
  test("is refused where a picture or a sound was promised", () => {
    expect(inspect(page, "image/png")).toMatch(/text instead of image\/png: "<!DOCTYPE html>/);
    expect(inspect(latin1('{"error": "busy"}'), "audio/wav")).toMatch(/instead of audio\/wav/);
  });
  test("is stored, as nothing that runs, where nothing was promised", () => {
    expect(inspect(page)).toMatchObject({ mediaType: "application/octet-stream" });
    expect(inspect(page, "image/svg+xml")).toMatchObject({ mediaType: "application/octet-stream" });
  });
});
