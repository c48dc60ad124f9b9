/** Storing, finding and forgetting outputs. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createIds } from "../../../core/ids.ts";
import { HOSTILE_IDS } from "./blob-store-suite.ts";
import { endless, latin1, png, streamOf, wav } from "./samples.ts";
import { MAX_BYTES, makeWorld, RETENTION_MS, type World } from "./world.ts";

const HOUR_MS = 60 * 60 * 1000;
let world: World;
beforeEach(async () => {
  world = await makeWorld();
});
afterEach(() => world.close());

/** Every file under the store's folder, partial ones included. */
function files(folder = world.folder): string[] {
  const entries = readdirSync(join(folder, "artifacts"), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

describe("storing", () => {
  test("an output gets its type, hash, size and measures from its bytes", async () => {
    const bytes = png(640, 480);
    const artifact = await world.put({ body: bytes, name: "../out/ねこ.png" });
    expect(artifact).toMatchObject({
      name: "ねこ.png",
      mediaType: "image/png",
      sizeBytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      url: `/artifacts/${artifact.id}`,
      metadata: { width: 640, height: 480 },
      jobId: "job-1",
      keyId: "key-1",
    });
    expect(artifact.expiresAtMs).toBe(artifact.createdAtMs + RETENTION_MS);
    expect(world.artifacts.get(artifact.id)).toEqual(artifact);
    expect(world.artifacts.ofJob("job-1")).toEqual([artifact]);
    expect(files()).toEqual([artifact.id]);
  });

  test("what the file says of itself wins over what the plugin was asked for", async () => {
    const options = { name: "a.wav", metadata: { seed: 7, duration_seconds: 9 } };
    const artifact = await world.put({ body: wav(0.5), options });
    expect(artifact.metadata).toEqual({ seed: 7, duration_seconds: 0.5 });
  });

  test("a Blob, a Response, a stream and bytes are stored alike", async () => {
    const bytes = latin1("a,b\n1,2\n");
    const type = "text/csv";
    const bodies = [
      new Blob([bytes], { type }),
      new Response(bytes, { headers: { "content-type": `${type}; charset=utf-8` } }),
    ];
    for (const body of bodies) expect((await world.put({ body })).mediaType).toBe(type);
    for (const body of [streamOf(bytes, 3), bytes]) {
      expect((await world.put({ body, mediaType: type })).mediaType).toBe(type);
    }
    const hashes = world.artifacts.ofJob("job-1").map(({ sha256 }) => sha256);
    expect(hashes).toHaveLength(4);
    expect(new Set(hashes).size).toBe(1);
  });

  const lost = () => {
    let pulls = 0;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (++pulls > 2) controller.error(new TypeError("ECONNRESET"));
        else controller.enqueue(new Uint8Array(1000));
      },
    });
  };
  test.each([
    ["an empty one", () => new Uint8Array(0), "BACKEND_BAD_OUTPUT"],
    ["an answer without a body", () => new Response(null), "BACKEND_BAD_OUTPUT"],
    ["an error page", () => new Response("no", { status: 404 }), "BACKEND_BAD_OUTPUT"],
    ["one that is too large", () => endless(MAX_BYTES + 1), "BACKEND_BAD_OUTPUT"],
    ["a picture that was cut short", () => png().subarray(0, 300), "BACKEND_BAD_OUTPUT"],
    ["one whose connection broke", lost, "BACKEND_LOST"],
  ])("%s is refused and leaves neither file nor row", async (_, body, code) => {
    const error = await world.put({ body: body() }).catch((e) => e);
    expect(error.code).toBe(code);
    expect(files()).toEqual([]);
    expect(world.artifacts.ofJob("job-1")).toEqual([]);
  });

  test("a stale attempt stores nothing, even when it became stale at the last moment", async () => {
    let asked = 0;
    for (const fence of [() => false, () => ++asked === 1]) {
      const error = await world.put({ fence }).catch((e) => e);
      expect(error.code).toBe("CANCELLED");
      expect(files()).toEqual([]);
      expect(world.artifacts.ofJob("job-1")).toEqual([]);
    }
    expect(asked).toBe(2);
  });

  test("a refused stale attempt lets go of its backend's answer", async () => {
    const cancelled = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({ cancel: () => cancelled.resolve() });
    await world.put({ body, fence: () => false }).catch(() => {});
    await cancelled.promise;
  });

  test("a cancelled job stores nothing and fails with the signal's reason", async () => {
    const control = new AbortController();
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          controller.enqueue(new Uint8Array(1000));
          control.abort(new Error("cancelled by its owner"));
        },
      },
      { highWaterMark: 0 },
    );
    const error = await world.put({ body, signal: control.signal }).catch((e) => e);
    expect(error.message).toBe("cancelled by its owner");
    expect(files()).toEqual([]);
  });

  test("a row that cannot be written takes its file away again", async () => {
    world.database.sqlite.exec("DROP TABLE artifacts");
    const error = await world.put({}).catch((e) => e);
    expect(error).toBeInstanceOf(Error);
    expect(files()).toEqual([]);
  });
});

describe("finding", () => {
  test("an unknown or hostile id is no artifact", () => {
    for (const id of [...HOSTILE_IDS, "0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21"]) {
      expect(world.artifacts.get(id)).toBeUndefined();
    }
  });

  test("a missing or damaged file is not served and the operator is told", async () => {
    const gone = await world.put({});
    const damaged = await world.put({});
    const pathOf = (id: string) => join(world.folder, "artifacts", id.slice(-2), id);
    rmSync(pathOf(gone.id));
    writeFileSync(pathOf(damaged.id), "x");
    expect(await world.artifacts.read(gone)).toBeUndefined();
    expect(await world.artifacts.read(damaged)).toBeUndefined();
    expect(world.errors).toHaveLength(2);
  });

  test("everything is still there after a restart", async () => {
    const artifact = await world.put({ body: png() });
    const again = await world.restart();
    expect(again.get(artifact.id)).toEqual(artifact);
    const found = await again.read(artifact);
    expect(await new Response(found?.body).bytes()).toEqual(png());
  });
});

describe("forgetting", () => {
  test("an artifact past its time is gone at once, its row and file after the sweep", async () => {
    const artifact = await world.put({});
    world.advance(RETENTION_MS - 1000);
    expect(world.artifacts.get(artifact.id)).toBeDefined();
    expect(await world.artifacts.sweep()).toEqual({ expired: 0, orphans: 0, partial: 0 });
    world.advance(2000);
    expect(world.artifacts.get(artifact.id)).toBeUndefined();
    expect(await world.artifacts.sweep()).toEqual({ expired: 1, orphans: 0, partial: 0 });
    expect(files()).toEqual([]);
    expect(world.artifacts.ofJob("job-1")).toEqual([]);
  });

  test("without retention an artifact stays", async () => {
    const lasting = await makeWorld(0);
    const artifact = await lasting.put({});
    lasting.advance(1000 * RETENTION_MS);
    await lasting.artifacts.sweep();
    expect(lasting.artifacts.get(artifact.id)).toEqual(artifact);
    expect(artifact.expiresAtMs).toBeUndefined();
    await lasting.close();
  });

  test("a sweep takes more expired artifacts than one batch holds", async () => {
    const many = Array.from({ length: 450 }, () => world.put({}));
    await Promise.all(many);
    world.advance(RETENTION_MS + 1000);
    expect((await world.artifacts.sweep()).expired).toBe(450);
    expect(files()).toEqual([]);
  }, 30_000);

  test("a file that lost its row in a crash is swept after an hour, not before", async () => {
    const kept = await world.put({});
    const orphan = await world.put({});
    world.database.sqlite.prepare("DELETE FROM artifacts WHERE id = ?").run(orphan.id);
    expect((await world.artifacts.sweep()).orphans).toBe(0);
    world.advance(HOUR_MS + 1000);
    expect(await world.artifacts.sweep()).toEqual({ expired: 0, orphans: 1, partial: 0 });
    expect(files()).toEqual([kept.id]);
  });

  test("a partial file that nobody writes is swept after an hour", async () => {
    const path = join(world.folder, "artifacts", "partial", createIds().uuid());
    writeFileSync(path, "half");
    expect((await world.artifacts.sweep()).partial).toBe(0);
    const old = new Date(Date.now() - 2 * HOUR_MS);
    utimesSync(path, old, old);
    expect((await world.artifacts.sweep()).partial).toBe(1);
    expect(files()).toEqual([]);
  });

  test("removing a job's artifacts leaves those of other jobs", async () => {
    await world.put({});
    await world.put({});
    const other = await world.put({ jobId: "job-2" });
    await world.artifacts.removeOfJob("job-1");
    await world.artifacts.removeOfJob("job-unknown");
    expect(world.artifacts.ofJob("job-1")).toEqual([]);
    expect(files()).toEqual([other.id]);
  });

  test("a download under way survives the removal of its artifact", async () => {
    const bytes = new Uint8Array(900_000).fill(5);
    const artifact = await world.put({ body: bytes });
    const found = await world.artifacts.read(artifact);
    const reader = new Response(found?.body).body!.getReader();
    let received = (await reader.read()).value?.length ?? 0;
    await world.artifacts.remove(artifact.id);
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      received += piece.value.length;
    }
    expect(received).toBe(bytes.length);
  });
});
