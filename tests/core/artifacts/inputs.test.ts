/** Files of requests in the store: theirs until the job has them, and never two jobs' at once. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Incoming, Upload } from "../../../core/artifacts/mod.ts";
import { mp4, png, streamOf, wav } from "./samples.ts";
import { makeWorld, RETENTION_MS, type World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await makeWorld();
});
afterEach(() => world.close());

const PICTURE = png();
const DAY_MS = 24 * 3_600_000;

const upload = (body: Upload["body"] = PICTURE): Upload => ({
  field: "image",
  kind: "image",
  name: "a.png",
  body,
});
const blobs = (): string[] =>
  readdirSync(join(world.folder, "artifacts"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
const attach = (files: readonly Incoming[], id = "job-1", keyId = "key-1") =>
  world.database.write(() => world.artifacts.inputs.attach({ id, keyId }, files));
const received = () => world.artifacts.inputs.receive(upload(streamOf(PICTURE)));
const failureOf = (work: () => unknown): any => {
  try {
    work();
  } catch (error) {
    return error;
  }
};
/** A row of the table of jobs, as far as the store of files looks at it. */
function job(id: string, status: string): void {
  world.database.sqlite.exec(
    `INSERT INTO jobs (id, key_id, capability, backend, status, priority, seq, input, created_at,
       updated_at) VALUES ('${id}', 'key-1', 'x', 'x', '${status}', 5, 1, '{}', 0, 0)
     ON CONFLICT (id) DO UPDATE SET status = '${status}'`,
  );
}

describe("until there is a job", () => {
  test("the bytes are on the disk and nobody can see them", async () => {
    const file = await received();
    expect(blobs()).toEqual([file.id]);
    expect(world.artifacts.get(file.id)).toBeUndefined();
    await world.artifacts.inputs.discard(file);
    expect(blobs()).toEqual([]);
  });

  test("a crash leaves bytes that the next process removes; one under way is not touched", async () => {
    const file = await received();
    world.advance(DAY_MS);
    expect(await world.artifacts.sweep()).toMatchObject({ orphans: 0 });
    expect(blobs()).toEqual([file.id]);
    const next = await world.restart();
    expect(await next.sweep()).toMatchObject({ orphans: 1 });
    expect(blobs()).toEqual([]);
    await next.close();
  });

  test("a commit that fails leaves neither row nor, once discarded, bytes", async () => {
    const file = await received();
    const error = await world.database
      .write(() => {
        world.artifacts.inputs.attach({ id: "job-1", keyId: "key-1" }, [file]);
        throw new Error("the job could not be written");
      })
      .catch((cause) => cause);
    expect(error.message).toBe("the job could not be written");
    expect(world.artifacts.ofJob("job-1")).toEqual([]);
    await world.artifacts.inputs.discard(file);
    expect(blobs()).toEqual([]);
  });

  test("what is refused is gone at once", async () => {
    for (const body of [wav(), PICTURE.slice(0, 300), new Uint8Array(0)]) {
      const error = await world.artifacts.inputs.receive(upload(body)).catch((cause) => cause);
      expect([error.code, error.details.errors[0].field]).toEqual(["VALIDATION_FAILED", "/image"]);
    }
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("reset")),
    });
    const error = await world.artifacts.inputs.receive(upload(broken)).catch((cause) => cause);
    expect(error.code).toBe("BAD_REQUEST");
    expect(blobs()).toEqual([]);
  });

  test("examining says the same and stores nothing", async () => {
    const { inputs } = world.artifacts;
    await inputs.examine(upload(streamOf(PICTURE)));
    const error = await inputs.examine(upload(wav())).catch((cause) => cause);
    expect(error.message).toContain("expected an image, found audio/wav");
    expect(blobs()).toEqual([]);
  });
});

describe("of a job", () => {
  test("it has its role, its measures, and goes with the job", async () => {
    const file = await received();
    await attach([file]);
    const [artifact] = world.artifacts.ofJob("job-1");
    expect(artifact).toMatchObject({ id: file.id, role: "input", name: "a.png", keyId: "key-1" });
    expect(artifact?.metadata).toMatchObject({ width: 640, height: 480 });
    await world.artifacts.removeOfJob("job-1");
    expect(blobs()).toEqual([]);
  });

  test("the plugin gets it by its own job or key, and nobody else's", async () => {
    const file = await received();
    await attach([file]);
    const { open } = world.artifacts.inputs;
    const found = open(file.id, { id: "job-1", keyId: "key-1" });
    expect(found).toMatchObject({
      name: "a.png",
      mediaType: "image/png",
      sizeBytes: PICTURE.length,
    });
    const blob = await found?.blob();
    expect([blob?.type, blob?.size]).toEqual(["image/png", PICTURE.length]);
    expect(new Uint8Array(await (blob as Blob).arrayBuffer())).toEqual(PICTURE);
    expect(open(file.id, { id: "job-2", keyId: "key-2" })).toBeUndefined();
    expect(open("../../etc/passwd", { id: "job-1", keyId: "key-1" })).toBeUndefined();
  });

  test("a file whose bytes are gone is the input's fault, not the gateway's", async () => {
    const file = await received();
    await attach([file]);
    const found = world.artifacts.inputs.open(file.id, { id: "job-1", keyId: "key-1" });
    world.database.sqlite.exec(
      "UPDATE artifacts SET blob_id = '0199f3a2-7c1e-7d4b-9a53-000000000000'",
    );
    const again = world.artifacts.inputs.open(file.id, { id: "job-1", keyId: "key-1" });
    expect(found).toBeDefined();
    const error: any = await again?.blob().catch((cause) => cause);
    expect(error.code).toBe("BACKEND_REJECTED");
  });

  test("it stays past its time until the job has ended", async () => {
    job("job-1", "running");
    const file = await received();
    await attach([file]);
    world.advance(RETENTION_MS + 1);
    expect(await world.artifacts.sweep()).toMatchObject({ expired: 0 });
    expect(world.artifacts.get(file.id)).toBeDefined();
    job("job-1", "completed");
    expect(world.artifacts.get(file.id)).toBeUndefined();
    expect(await world.artifacts.sweep()).toMatchObject({ expired: 1 });
    expect(blobs()).toEqual([]);
  });

  test("an output past its time goes although the job runs", async () => {
    job("job-1", "running");
    const { id } = await world.put({ body: PICTURE });
    world.advance(RETENTION_MS + 1);
    expect(world.artifacts.get(id)).toBeUndefined();
    expect(await world.artifacts.sweep()).toMatchObject({ expired: 1 });
  });
});

describe("an earlier artifact", () => {
  const find = (
    id: string,
    owner: { keyId: string } | { jobId: string },
    kind = "image" as const,
  ) => world.artifacts.inputs.find({ field: "image", kind, id }, owner);

  test("has its bytes twice and on the disk once; they go with the last of them", async () => {
    const output = await world.put({ body: PICTURE, jobId: "job-1" });
    await attach([find(output.id, { keyId: "key-1" })], "job-2");
    await attach([find(output.id, { keyId: "key-1" })], "job-3");
    expect(blobs()).toEqual([output.id]);
    await world.artifacts.remove(output.id);
    await world.artifacts.removeOfJob("job-2");
    expect(blobs()).toEqual([output.id]);
    const [left] = world.artifacts.ofJob("job-3");
    const found = world.artifacts.inputs.open(left?.id ?? "", { id: "job-3", keyId: "key-1" });
    expect((await found?.blob())?.size).toBe(PICTURE.length);
    world.advance(DAY_MS / 2);
    expect(await world.artifacts.sweep()).toMatchObject({ orphans: 0, expired: 0 });
    await world.artifacts.removeOfJob("job-3");
    expect(blobs()).toEqual([]);
  });

  test("of one commit, all rows over the same bytes go together", async () => {
    const output = await world.put({ body: PICTURE, jobId: "job-1" });
    const both = [1, 2].map(() => find(output.id, { keyId: "key-1" }));
    await attach(both, "job-1");
    await world.artifacts.removeOfJob("job-1");
    expect(blobs()).toEqual([]);
  });

  test("of somebody else, unknown, malformed or expired is one answer; another kind is another", async () => {
    const output = await world.put({ body: PICTURE });
    const old = await world.put({ body: PICTURE });
    const clip = await world.put({ body: mp4() });
    const unknown = "0199f3a2-7c1e-7d4b-9a53-000000000000";
    const told = [
      failureOf(() => find(output.id, { keyId: "key-2" })),
      failureOf(() => find(unknown, { keyId: "key-1" })),
      failureOf(() => find("../x", { keyId: "key-1" })),
      failureOf(() => find(output.id, { jobId: "job-1" })),
    ];
    const kind = failureOf(() => find(clip.id, { keyId: "key-1" }));
    expect(kind.message).toContain("expected an image, found video/mp4");
    world.advance(RETENTION_MS + 1);
    told.push(failureOf(() => find(old.id, { keyId: "key-1" })));
    expect(new Set(told.map(({ code, message }) => `${code} ${message}`)).size).toBe(1);
  });

  test("that goes before the commit is missed in the commit", async () => {
    const output = await world.put({ body: PICTURE });
    const file = find(output.id, { keyId: "key-1" });
    await world.artifacts.remove(output.id);
    const error: any = await attach([file], "job-2").catch((cause) => cause);
    expect([error.code, error.details.errors[0].field]).toEqual(["VALIDATION_FAILED", "/image"]);
    expect(world.artifacts.ofJob("job-2")).toEqual([]);
    // Nothing of it was the request's own.
    await world.artifacts.inputs.discard(file);
  });
});

test("artifacts of a version without roles are outputs over their own bytes", async () => {
  const { id } = await world.put({ body: PICTURE });
  world.database.sqlite.exec(
    `DROP INDEX artifacts_by_blob; ALTER TABLE artifacts DROP COLUMN blob_id;
     ALTER TABLE artifacts DROP COLUMN role; PRAGMA user_version=3`,
  );
  const artifacts = await world.restart();
  const found = artifacts.get(id);
  expect(found).toMatchObject({ role: "output", blobId: id });
  expect(found && (await artifacts.read(found))?.sizeBytes).toBe(PICTURE.length);
  await artifacts.remove(id);
  expect(blobs()).toEqual([]);
  await artifacts.close();
});
