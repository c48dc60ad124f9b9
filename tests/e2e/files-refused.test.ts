/** Files that are refused: one clear answer in the envelope, and nothing left on the disk. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { png, wav } from "../core/artifacts/samples.ts";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { base64, FILES, file, form, send, stored } from "./uploads.ts";

const PICTURE = png();
const SOUND = wav();
const MAX_BYTES = 300_000;

describe(`refused files on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let other: string;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0 } }
http: { max_body_bytes: 20000, max_upload_bytes: ${MAX_BYTES} }
artifacts: { max_bytes: 200000 }
backends:
  files: { use: ${FILES} }
`,
    });
    const scopes = ["jobs:read", "jobs:cancel"];
    const made = await gateway.call("POST", "/auth/keys", { name: "other", scopes });
    other = made.data.key;
  });
  afterAll(() => gateway.remove());

  /** Sends it, and makes sure that nothing of it stays. */
  async function refused(
    body: Parameters<typeof send>[2],
    options: Parameters<typeof send>[3] = {},
  ) {
    const before = stored(gateway);
    const jobs = (await gateway.call("GET", "/jobs?limit=1")).data.items[0]?.job_id;
    const answer = await send(gateway, "/test/files", body, options);
    expect(stored(gateway)).toEqual(before);
    expect((await gateway.call("GET", "/jobs?limit=1")).data.items[0]?.job_id).toBe(jobs);
    const { status, error } = answer;
    const first = error?.details?.errors?.[0];
    return {
      status,
      code: error?.code,
      message: error?.message,
      field: first?.field,
      why: first?.message,
    };
  }
  const picture = (extra: Record<string, string | Blob> = {}) =>
    form({ prompt: "look", image: file(PICTURE, "a.png"), ...extra });
  const inJson = (image: unknown) => ({ prompt: "look", image });
  const ended = async (body: object) => {
    const { data } = await send(gateway, "/test/files", body, { headers: { prefer: "wait=20" } });
    return data;
  };

  describe("what it is", () => {
    test("a sound where a picture is wanted is named, in a form, in base64 and as an artifact", async () => {
      const found = { status: 422, field: "/image", why: "expected an image, found audio/wav" };
      const part = form({ prompt: "look", image: file(SOUND, "a.png", "image/png") });
      expect(await refused(part)).toMatchObject(found);
      expect(await refused(inJson({ base64: base64(SOUND) }))).toMatchObject(found);
      const { input } = await ended({ prompt: "look", sound: { base64: base64(SOUND) } });
      expect(await refused(inJson(input.sound))).toMatchObject(found);
    });

    test("text, pages, nothing and half a picture are no pictures", async () => {
      const encode = (text: string) => new TextEncoder().encode(text);
      for (const [bytes, why] of [
        [encode("hello"), "expected an image, found text/plain"],
        [encode("<svg onload=alert(1)>"), "expected an image, found application/octet-stream"],
        [encode(""), "the file is empty"],
        [PICTURE.slice(0, 400), "the PNG is cut short: no IEND chunk after 400 bytes"],
      ] as const) {
        const part = form({ prompt: "look", image: file(bytes, "a.png", "image/png") });
        expect(await refused(part)).toMatchObject({ status: 422, field: "/image", why });
        const inBase64 = inJson({ base64: base64(bytes) });
        expect(await refused(inBase64)).toMatchObject({ status: 422, field: "/image", why });
      }
    });

    test("URLs, paths and other values say what to send instead", async () => {
      const values = [
        "http://127.0.0.1/a.png",
        "file:///etc/passwd",
        { url: "http://127.0.0.1/a.png" },
        { path: "/etc/passwd" },
        7,
        [],
        true,
        { base64: 7 },
        { base64: "not base64!" },
        { base64: `data:image/png;base64,${base64(PICTURE)}` },
        { base64: "AAAA", name: 7 },
        { artifact_id: 7 },
      ];
      for (const value of values) {
        const answer = await refused(inJson(value));
        expect([value, answer.status, answer.field]).toEqual([value, 422, "/image"]);
      }
      const answer = await refused(inJson(values[0]));
      expect(answer.why).toMatch(/URLs .* not read.*base64.*artifact_id/);
      const part = await refused(form({ prompt: "look", image: "http://127.0.0.1/a.png" }));
      expect(part).toMatchObject({ status: 422, field: "/image" });
    });

    test("somebody else's file, an unknown and an expired one are the same answer", async () => {
      const theirs = await send(gateway, "/test/files", inJson({ base64: base64(PICTURE) }), {
        headers: { prefer: "wait=20" },
      });
      const mine = theirs.data.input.image;
      const unknown = { artifact_id: "0199f3a2-7c1e-7d4b-9a53-000000000000" };
      const gone = await ended(inJson({ base64: base64(PICTURE) }));
      await gateway.call("DELETE", `/artifacts/${gone.input.image.artifact_id}`);
      const second = (await gateway.call("POST", "/auth/keys", { name: "second", preset: "admin" }))
        .data.key;
      expect(second).toBeString();
      const answers = [
        await refused(inJson(mine), { key: second }),
        await refused(inJson(unknown)),
        await refused(inJson(gone.input.image)),
      ];
      for (const answer of answers) {
        expect(answer).toEqual({
          status: 422,
          code: "VALIDATION_FAILED",
          field: "/image",
          why: "there is no such artifact; it may have expired",
          message: expect.any(String),
        });
      }
      expect(new Set(answers.map(({ message }) => message)).size).toBe(1);
      const malformed = await refused(inJson({ artifact_id: "../../etc/passwd" }));
      expect(malformed).toMatchObject({ status: 422, field: "/image" });
    });
  });

  describe("the rest of the request", () => {
    test("a wrong field is refused with the file, however it came", async () => {
      for (const body of [
        picture({ count: "many" }),
        picture({ prompt: "" }),
        picture({ tags: "{" }),
        picture({ backend: "nobody" }),
        { prompt: "look", count: 99, image: { base64: base64(PICTURE) } },
      ]) {
        expect(await refused(body)).toMatchObject({ status: 422, code: "VALIDATION_FAILED" });
      }
      const answer = await refused(picture({ count: "many" }));
      expect(answer).toMatchObject({ field: "/count" });
      expect(answer.why).toContain('got "many"');
    });

    test("a file in a field that takes none, and two in one", async () => {
      const strange = await refused(picture({ picture: file(PICTURE, "b.png") }));
      expect(strange).toMatchObject({ status: 422, field: "/picture" });
      expect(strange.why).toContain("image, sound, clip");
      const twice = picture();
      twice.append("image", file(PICTURE, "b.png"));
      expect(await refused(twice)).toMatchObject({ status: 422, field: "/image" });
      const both = picture();
      both.append("image", JSON.stringify({ base64: base64(PICTURE) }));
      expect(await refused(both)).toMatchObject({ status: 422, field: "/image" });
    });

    test("a key without the scope is refused before its file is read", async () => {
      const body = new ReadableStream({ pull: () => new Promise(() => {}) });
      const headers = { "content-type": "multipart/form-data; boundary=b" };
      const answer = await refused(body, { key: other, headers });
      expect(answer).toMatchObject({ status: 403, code: "FORBIDDEN_SCOPE" });
    });
  });

  describe("its form and size", () => {
    const raw = (body: string | ReadableStream, type = "multipart/form-data; boundary=b") =>
      refused(body as string, { headers: { "content-type": type } });
    const head = '--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n';

    test("what is no form says why", async () => {
      for (const [body, why] of [
        ["", "ends before"],
        ["hello", "ends before"],
        [head, "ends before"],
        [`${head}abc`, "ends before"],
        [`--b\r\nContent-Disposition: form-data; name=a\r\n\r\nabc\r\n--b`, "ends before"],
        [`--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--`, "no name"],
        [`--b\r\nX-Other: 1\r\n\r\nx\r\n--b--`, "no name"],
        [`--b\r\nmalformed\r\n\r\nx\r\n--b--`, "malformed"],
        [`--bad\r\n\r\nx\r\n--b--`, "behind a boundary"],
        [`--b\r\nX: ${"x".repeat(40_000)}\r\n\r\nx\r\n--b--`, "longer than"],
      ] as const) {
        const answer = await raw(body);
        expect([body.slice(0, 60), answer.status, answer.code]).toEqual([
          body.slice(0, 60),
          400,
          "BAD_REQUEST",
        ]);
        expect(answer.message).toContain(why);
      }
      const answer = await raw(head, "multipart/form-data");
      expect(answer.message).toContain("boundary");
    });

    test("too many parts, and fields that are too large together", async () => {
      const many = picture();
      for (let index = 0; index < 70; index++) many.append(`field-${index}`, "x");
      expect(await refused(many)).toMatchObject({ status: 400, code: "BAD_REQUEST" });
      const large = picture({ a: "x".repeat(15_000), b: "x".repeat(15_000) });
      expect(await refused(large)).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
    });

    test("larger than max_upload_bytes: told by its length, and found on the way", async () => {
      const large = new Uint8Array(MAX_BYTES + 1);
      const part = form({ prompt: "look", image: file(large, "a.png") });
      expect(await refused(part)).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
      const json = inJson({ base64: base64(large) });
      expect(await refused(json)).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
      let sent = 0;
      const endless = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (sent === 0) controller.enqueue(new TextEncoder().encode(head));
          sent += 10_000;
          if (sent > MAX_BYTES * 2) controller.close();
          else controller.enqueue(new Uint8Array(10_000).fill(1));
        },
      });
      expect(await raw(endless)).toMatchObject({ status: 413, code: "PAYLOAD_TOO_LARGE" });
    });

    test("a file larger than artifacts.max_bytes, and JSON of the size of an upload", async () => {
      const large = file(png().slice(0, 8) as never, "a.png");
      const padded = new File([await large.arrayBuffer(), new Uint8Array(210_000)], "a.png");
      expect(await refused(form({ prompt: "look", image: padded }))).toMatchObject({
        status: 413,
        code: "PAYLOAD_TOO_LARGE",
      });
      const taken = wav(8);
      expect(base64(taken).length).toBeGreaterThan(20_000);
      const { status } = await send(gateway, "/test/files", {
        prompt: "look",
        sound: { base64: base64(taken) },
      });
      expect(status).toBe(202);
    });

    test("a route without files takes no form, and JSON of its own size alone", async () => {
      const asForm = await send(gateway, "/test/plain", form({ prompt: "x" }));
      expect([asForm.status, asForm.error.code]).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
      const large = await send(gateway, "/test/plain", { prompt: "x".repeat(30_000) });
      expect([large.status, large.error.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
      const text = await send(gateway, "/test/files", "x", {
        headers: { "content-type": "text/plain" },
      });
      expect([text.status, text.error.code]).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
      expect(text.error.message).toContain("multipart/form-data");
      const zipped = await send(gateway, "/test/files", picture(), {
        headers: { "content-encoding": "gzip" },
      });
      expect(zipped.status).toBe(415);
    });
  });

  test("what an earlier process was given half is removed when the next one starts", async () => {
    const left = join(gateway.folder, "data", "artifacts", "partial");
    writeFileSync(join(left, "0199f3a2-7c1e-7d4b-9a53-00000000abcd"), "half a picture");
    await gateway.stop("SIGKILL");
    const { folder, key: useKey } = gateway;
    gateway = await startGateway({ folder, useKey });
    expect(stored(gateway).filter((path) => path.startsWith("partial"))).toEqual([]);
  });
});
