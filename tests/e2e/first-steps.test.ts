/** What a newcomer does: a key, a job, a file that plays. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";

describe(`first steps on ${RUNTIME}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({ config: "backends: { espeak: { use: espeak } }\n", key: false });
  });
  afterAll(() => gateway.remove());

  test("the start message shows the curl that creates the first key", () => {
    expect(gateway.output()).toContain(`curl -X POST ${gateway.url}/auth/keys`);
  });

  test("a key, a job, and a WAV that plays", async () => {
    const created = await gateway.call("POST", "/auth/keys", { name: "mobile-app" });
    expect(created.status).toBe(201);
    expect(created.data).toMatchObject({ name: "mobile-app" });
    expect(Date.parse(created.data.created_at)).toBeGreaterThan(0);
    const { key } = created.data;

    const accepted = await gateway.call("POST", "/tts", { text: "Hello" }, { key });
    expect(accepted.status).toBe(202);
    expect(accepted.data).toEqual({ job_id: expect.any(String), status: "pending" });
    expect(accepted.headers.get("location")).toBe(`/jobs/${accepted.data.job_id}`);

    Object.assign(gateway, { key });
    const job = await gateway.ended(accepted.data.job_id);
    expect(job).toMatchObject({ status: "completed", backend: "espeak", error: null });
    const [artifact] = job.output.artifacts;
    expect(artifact).toMatchObject({ media_type: "audio/wav", name: "speech.wav" });

    const wav = await fetch(gateway.url + artifact.url, { headers: { "x-api-key": key } });
    const bytes = Buffer.from(await wav.arrayBuffer());
    expect(bytes.subarray(0, 4).toString()).toBe("RIFF");
    expect(bytes.readUInt32LE(4) + 8).toBe(bytes.length);
    expect(bytes.length).toBe(artifact.size_bytes);
  });
});
