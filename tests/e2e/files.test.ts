/** Files that come with requests: every way to send one, and what becomes of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mp4, png, wav } from "../core/artifacts/samples.ts";
import { eventually, type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { base64, FILES, file, form, send, stored } from "./uploads.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const PICTURE = png();
const SOUND = wav();
const CLIP = mp4();

describe(`files of requests on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0 } }
backends:
  files: { use: ${FILES} }
`,
    });
  });
  afterAll(() => gateway.remove());

  const ask = (body: FormData | object, headers: Record<string, string> = {}) =>
    send(gateway, "/test/files", body, { headers: { prefer: "wait=20", ...headers } });
  const artifactsOf = async (jobId: string) =>
    (await gateway.call("GET", `/jobs/${jobId}/artifacts`)).data.items as any[];

  describe("sending", () => {
    test("a part of a form is the file, the others are the fields, as the schema has them", async () => {
      const body = form({
        prompt: "look 3",
        count: "3",
        loud: "true",
        tags: '["a","b"]',
        style: "bold",
        options: '{"deep":{"er":1}}',
        image: file(PICTURE, "Bild ä.png", "image/png"),
      });
      const { status, data } = await ask(body);
      expect([status, data.status]).toEqual([200, "completed"]);
      expect(data.output).toEqual({
        seen: {
          image: {
            name: "Bild ä.png",
            mediaType: "image/png",
            type: "image/png",
            sizeBytes: PICTURE.length,
            sha256: sha256(PICTURE),
            again: PICTURE.length,
          },
        },
        rest: {
          count: 3,
          loud: true,
          tags: ["a", "b"],
          style: "bold",
          options: { deep: { er: 1 } },
        },
      });
    });

    test("a form may hold the fields as JSON in one part, as pages send it", async () => {
      const request = JSON.stringify({ prompt: "look", count: 2 });
      const body = form({
        image: file(PICTURE, "a.png"),
        request: new Blob([request], { type: "application/json" }),
        sound: file(SOUND, "a.wav"),
        clip: file(CLIP, "a.mp4"),
      });
      const { data } = await ask(body);
      expect(Object.keys(data.output.seen)).toEqual(["image", "sound", "clip"]);
      expect(data.output.seen.clip.sha256).toBe(sha256(CLIP));
      expect(data.output.rest).toEqual({ count: 2 });
    });

    test("base64 in JSON, with a name or without", async () => {
      const named = { base64: base64(PICTURE), name: "../../x.png" };
      const { data } = await ask({
        prompt: "look",
        image: named,
        sound: { base64: base64(SOUND) },
      });
      expect(data.output.seen.image).toMatchObject({ name: "x.png", sha256: sha256(PICTURE) });
      expect(data.output.seen.sound).toMatchObject({ name: "sound", mediaType: "audio/wav" });
    });

    test("an earlier file of the same key, in JSON and in a form", async () => {
      const { data: first } = await ask({ prompt: "look", image: { base64: base64(PICTURE) } });
      const [earlier] = await artifactsOf(first.job_id);
      const reference = { artifact_id: earlier.id };
      const { data } = await ask({ prompt: "look", image: reference });
      expect(data.output.seen.image.sha256).toBe(sha256(PICTURE));
      const body = form({ prompt: "look", image: JSON.stringify(reference) });
      expect((await ask(body)).data.output.seen.image.sha256).toBe(sha256(PICTURE));
    });

    test("a container that may hold sound alone is a sound where one is wanted", async () => {
      const { data } = await ask({ prompt: "look", sound: { base64: base64(CLIP) } });
      expect(data.output.seen.sound).toMatchObject({ mediaType: "audio/mp4" });
    });

    test("an event stream answers an upload, too", async () => {
      const response = await fetch(`${gateway.url}/test/files`, {
        method: "POST",
        headers: { "x-api-key": gateway.key },
        body: form({ prompt: "look", stream: "true", image: file(PICTURE, "a.png") }),
      });
      expect(response.headers.get("content-type")).toStartWith("text/event-stream");
      expect(await response.text()).toContain("event: job.completed");
    });
  });

  describe("keeping", () => {
    test("inputs and previews are listed with their role, outputs without the inputs", async () => {
      const { data } = await ask(form({ prompt: "poster", image: file(PICTURE, "a.png") }));
      expect(data.output.artifacts.map((it: any) => [it.name, it.role])).toEqual([
        ["made.bin", "output"],
        ["poster.bin", "preview"],
      ]);
      const listed = await artifactsOf(data.job_id);
      expect(listed.map((it) => [it.name, it.role])).toEqual([
        ["a.png", "input"],
        ["made.bin", "output"],
        ["poster.bin", "preview"],
      ]);
      expect(listed[0].metadata).toMatchObject({ width: 640, height: 480 });
      expect(data.input.image).toEqual({ artifact_id: listed[0].id });
      const download = await fetch(gateway.url + listed[0].url, {
        headers: { "x-api-key": gateway.key },
      });
      expect(sha256(new Uint8Array(await download.arrayBuffer()))).toBe(sha256(PICTURE));
    });

    test("a file goes with its job, but not while another job has it", async () => {
      const before = stored(gateway);
      const { data: first } = await ask({ prompt: "look", image: { base64: base64(PICTURE) } });
      const [earlier] = await artifactsOf(first.job_id);
      const { data: second } = await ask({ prompt: "look", image: { artifact_id: earlier.id } });
      expect(stored(gateway).length).toBe(before.length + 1);
      expect((await gateway.call("DELETE", `/jobs/${first.job_id}?purge=true`)).status).toBe(200);
      expect((await gateway.call("GET", earlier.url)).status).toBe(404);
      const [own] = await artifactsOf(second.job_id);
      expect((await gateway.call("GET", own.url)).status).toBe(200);
      await gateway.call("DELETE", `/jobs/${second.job_id}?purge=true`);
      expect(stored(gateway)).toEqual(before);
    });

    test("a job that waits keeps an earlier file whose artifact is deleted", async () => {
      const { data: first } = await ask({ prompt: "look", image: { base64: base64(PICTURE) } });
      const [earlier] = await artifactsOf(first.job_id);
      const body = { prompt: "look", ms: 400, image: { artifact_id: earlier.id } };
      const { data: accepted } = await send(gateway, "/test/files", body);
      expect((await gateway.call("DELETE", earlier.url)).status).toBe(200);
      const job = await gateway.ended(accepted.job_id);
      expect(job.output.seen.image.sha256).toBe(sha256(PICTURE));
    });

    test("a job that is run again has its files, also when the first one is removed", async () => {
      const body = form({ prompt: "fail", ms: "200", image: file(PICTURE, "a.png") });
      const { data: failed } = await ask(body);
      expect(failed.status).toBe("failed");
      const again = await gateway.call("POST", `/jobs/${failed.job_id}/retry`);
      expect((await gateway.call("DELETE", `/jobs/${failed.job_id}?purge=true`)).status).toBe(200);
      const job = await gateway.ended(again.data.job_id);
      const [own] = await artifactsOf(again.data.job_id);
      expect(job.error.message).toBe("it was asked to fail");
      expect(job.input.image).toEqual({ artifact_id: own.id });
      expect(own).toMatchObject({ role: "input", sha256: sha256(PICTURE) });
    });

    test("a job that is run again without its file says so, and is not made", async () => {
      const { data: failed } = await ask({ prompt: "fail", image: { base64: base64(PICTURE) } });
      const [own] = await artifactsOf(failed.job_id);
      await gateway.call("DELETE", own.url);
      const again = await gateway.call("POST", `/jobs/${failed.job_id}/retry`);
      expect([again.status, again.error.code]).toEqual([422, "VALIDATION_FAILED"]);
      expect(again.error.message).toContain("/image");
    });

    test("a repeated request has the same job, and other bytes under its key are a mistake", async () => {
      const key = `k-${Date.now()}`;
      const made = (bytes: Uint8Array<ArrayBuffer>) =>
        form({ prompt: "look", image: file(bytes, "a.png") });
      const headers = { "idempotency-key": key };
      const first = await ask(made(PICTURE), headers);
      const before = stored(gateway);
      const again = await ask(made(PICTURE), headers);
      expect(again.data.job_id).toBe(first.data.job_id);
      expect(again.headers.get("idempotent-replayed")).toBe("true");
      const other = await ask(made(png(64, 64)), headers);
      expect([other.status, other.error.code]).toEqual([422, "IDEMPOTENCY_MISMATCH"]);
      const inJson = (bytes: Uint8Array) => ({ prompt: "look", image: { base64: base64(bytes) } });
      const jsonKey = { "idempotency-key": `${key}-json` };
      const one = await ask(inJson(PICTURE), jsonKey);
      expect((await ask(inJson(PICTURE), jsonKey)).data.job_id).toBe(one.data.job_id);
      expect((await ask(inJson(png(64, 64)), jsonKey)).status).toBe(422);
      await gateway.call("DELETE", `/jobs/${one.data.job_id}?purge=true`);
      expect(stored(gateway)).toEqual(before);
    });

    test("a dry run checks the files and stores nothing", async () => {
      const before = stored(gateway);
      const path = "/test/files?dry_run=true";
      for (const body of [
        form({ prompt: "look", image: file(PICTURE, "a.png") }),
        { prompt: "look", image: { base64: base64(PICTURE) } },
      ]) {
        const { status, data } = await send(gateway, path, body);
        expect([status, data.feasible]).toEqual([200, true]);
      }
      for (const body of [
        form({ prompt: "look", image: file(SOUND, "a.png") }),
        { prompt: "look", image: { base64: base64(SOUND) } },
      ]) {
        const { status, error } = await send(gateway, path, body);
        expect([status, error.details.errors[0].field]).toEqual([422, "/image"]);
      }
      expect(stored(gateway)).toEqual(before);
    });
  });

  test("the documentation shows the form, the ways to send a file, and the roles", async () => {
    const { json: document } = await gateway.call("GET", "/swagger/json");
    const operation = document.paths["/test/files"].post;
    const { content } = operation.requestBody;
    expect(Object.keys(content)).toEqual(["application/json", "multipart/form-data"]);
    const inForm = content["multipart/form-data"].schema.properties;
    expect(inForm.image).toMatchObject({ type: "string", format: "binary" });
    expect(inForm.prompt.type).toBe("string");
    const inJson = content["application/json"].schema.properties.image.oneOf;
    expect(inJson.map((it: any) => it.required)).toEqual([["base64"], ["artifact_id"]]);
    expect(operation.description).toContain("multipart/form-data");
    const plain = document.paths["/test/plain"].post.requestBody.content;
    expect(Object.keys(plain)).toEqual(["application/json"]);
    const listed = document.paths["/jobs/{job_id}/artifacts"].get.responses["200"];
    const { data } = listed.content["application/json"].schema.properties;
    const { role } = data.properties.items.items.properties;
    expect(role.anyOf.map((it: any) => it.const)).toEqual(["output", "preview", "input"]);
  });

  test("short retention: the files of a job stay until it has ended", async () => {
    const own = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0 } }
artifacts: { retention_ms: 1 }
backends:
  files: { use: ${FILES} }
`,
    });
    try {
      const body = form({ prompt: "look", ms: "300", image: file(PICTURE, "a.png") });
      const { data } = await send(own, "/test/files", body);
      const job = await own.ended(data.job_id);
      expect(job.output.seen.image.sha256).toBe(sha256(PICTURE));
      // Its time has come long ago, and now its job has ended.
      const gone = await own.call("GET", `/artifacts/${job.input.image.artifact_id}`);
      expect(gone.status).toBe(404);
    } finally {
      await own.remove();
    }
  });

  test("a client that goes away in the middle of an upload leaves nothing behind", async () => {
    const before = stored(gateway);
    const leaving = new AbortController();
    let sent = 0;
    const body = new ReadableStream({
      async pull(controller) {
        const head =
          '--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n';
        if (sent === 0) controller.enqueue(new TextEncoder().encode(head));
        if (++sent > 20) return new Promise(() => {});
        controller.enqueue(new Uint8Array(64 * 1024).fill(1));
      },
    });
    const request = fetch(`${gateway.url}/test/files`, {
      method: "POST",
      headers: { "x-api-key": gateway.key, "content-type": "multipart/form-data; boundary=b" },
      body,
      signal: leaving.signal,
      duplex: "half",
    } as RequestInit).catch(() => undefined);
    await eventually("the upload has begun", () =>
      stored(gateway).some((path) => path.startsWith("partial")),
    );
    leaving.abort();
    await request;
    await eventually("nothing is left", () => stored(gateway).join() === before.join());
  });
});
