/** The driver for local files: the suite of all drivers, and what only files can get wrong. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlobBody } from "../../../core/artifacts/blobs.ts";
import { createFsBlobs } from "../../../core/artifacts/fs-blobs.ts";
import { createIds } from "../../../core/ids.ts";
import { fileBody } from "../../../core/runtime/mod.ts";
import { blobStoreSuite, bytesOf } from "./blob-store-suite.ts";
import { endless, streamOf } from "./samples.ts";

const ids = createIds();
const MIB = 1024 * 1024;
const limits = () => ({ maxBytes: 1024 * MIB, signal: new AbortController().signal });

async function folderCase(native: boolean) {
  const folder = await mkdtemp(join(tmpdir(), "switchyard-blobs-"));
  return {
    blobs: createFsBlobs(native ? { folder, fileBody } : { folder }),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

blobStoreSuite("local files, sent as streams", () => folderCase(false));
blobStoreSuite("local files, sent by the runtime", () => folderCase(true));

describe("local files", () => {
  const undo: (() => unknown)[] = [];
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  async function temporaryFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "switchyard-blobs-"));
    undo.push(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }
  const pathOf = (folder: string, id: string) => join(folder, id.slice(-2), id);

  test("a link in place of a blob is not followed, and its target survives a removal", async () => {
    const folder = await temporaryFolder();
    const secret = join(await temporaryFolder(), "secret");
    writeFileSync(secret, "not for you");
    const blobs = createFsBlobs({ folder });
    const id = ids.uuid();
    await blobs.write(id, endless(10), limits());
    unlinkSync(pathOf(folder, id));
    symlinkSync(secret, pathOf(folder, id));
    expect(await blobs.read(id)).toBeUndefined();
    await blobs.remove(id);
    expect(statSync(secret).size).toBe(11);
  });

  test("a link in place of a folder leads nowhere, for reading and for writing", async () => {
    const folder = await temporaryFolder();
    const outside = await temporaryFolder();
    const blobs = createFsBlobs({ folder });
    const id = ids.uuid();
    symlinkSync(outside, join(folder, id.slice(-2)));
    const error = await blobs.write(id, endless(10), limits()).catch((e) => e);
    expect(error.code).toBe("STORAGE_FAILED");
    expect(readdirSync(outside)).toEqual([]);
    writeFileSync(join(outside, id), "not for you");
    expect(await blobs.read(id)).toBeUndefined();
    const found = [];
    for await (const entry of blobs.list()) found.push(entry);
    expect(found).toEqual([]);
  });

  test("a blob that became a link after it was found is not read by the stream", async () => {
    const folder = await temporaryFolder();
    const secret = join(await temporaryFolder(), "secret");
    writeFileSync(secret, "not for you");
    const blobs = createFsBlobs({ folder });
    const id = ids.uuid();
    await blobs.write(id, endless(11), limits());
    const found = await blobs.read(id);
    unlinkSync(pathOf(folder, id));
    symlinkSync(secret, pathOf(folder, id));
    const error = await bytesOf(found).catch((e) => e);
    expect(error.code).toBe("ELOOP");
  });

  test("what a killed process left half written is gone at the next start", async () => {
    const folder = await temporaryFolder();
    mkdirSync(join(folder, "partial"), { recursive: true });
    writeFileSync(join(folder, "partial", ids.uuid()), "half a picture");
    createFsBlobs({ folder });
    expect(readdirSync(join(folder, "partial"))).toEqual([]);
  });

  test("a write under way is no leftover", async () => {
    const folder = await temporaryFolder();
    const blobs = createFsBlobs({ folder });
    const id = ids.uuid();
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          if (++pulls > 3) return controller.close();
          if (pulls === 3) expect(await blobs.removePartial(Number.POSITIVE_INFINITY)).toBe(0);
          controller.enqueue(new Uint8Array(10));
        },
      },
      { highWaterMark: 0 },
    );
    expect((await blobs.write(id, body, limits())).sizeBytes).toBe(30);
  });

  test("files of others in the folder are not listed and not removed", async () => {
    const folder = await temporaryFolder();
    const blobs = createFsBlobs({ folder });
    mkdirSync(join(folder, "ab"));
    writeFileSync(join(folder, "ab", "notes.txt"), "mine");
    writeFileSync(join(folder, "ab", `${ids.uuid().slice(0, -2)}cd`), "in the wrong folder");
    const found = [];
    for await (const entry of blobs.list()) found.push(entry);
    expect(found).toEqual([]);
  });

  test("files and folders are for the gateway's user alone", async () => {
    const folder = join(await temporaryFolder(), "made");
    const blobs = createFsBlobs({ folder });
    const id = ids.uuid();
    await blobs.write(id, endless(10), limits());
    expect(statSync(pathOf(folder, id)).mode & 0o077).toBe(0);
    expect(statSync(join(folder, id.slice(-2))).mode & 0o077).toBe(0);
  });

  test("a body that nobody reads holds no file open, a cancelled one lets go of it", async () => {
    const blobs = createFsBlobs({ folder: await temporaryFolder() });
    const id = ids.uuid();
    await blobs.write(id, endless(4 * MIB), limits());
    const openFiles = () => readdirSync("/proc/self/fd").length;
    const before = openFiles();
    const bodies = await Promise.all(Array.from({ length: 50 }, () => blobs.read(id)));
    expect(openFiles()).toBe(before);
    const readers = bodies.map((found) => streamIn(found).getReader());
    await Promise.all(readers.map((reader) => reader.read()));
    expect(openFiles()).toBe(before + 50);
    // Half of them are cancelled in the middle of a read.
    const reads = readers.slice(0, 25).map((reader) => reader.read());
    await Promise.all(readers.map((reader) => reader.cancel()));
    await Promise.all(reads);
    for (let tries = 0; openFiles() > before && tries < 200; tries++) await Bun.sleep(5);
    expect(openFiles()).toBe(before);
  });

  test("a slow reader holds back the file: nothing is read ahead of it", async () => {
    const folder = await temporaryFolder();
    const blobs = createFsBlobs({ folder });
    const id = ids.uuid();
    await blobs.write(id, endless(2 * MIB), limits());
    const reader = streamIn(await blobs.read(id)).getReader();
    const first = await reader.read();
    expect(first.value?.length).toBeLessThanOrEqual(256 * 1024);
    // Other reads of the disk give a read ahead the time to happen.
    for (let turns = 0; turns < 50; turns++) await stat(pathOf(folder, id));
    writeFileSync(pathOf(folder, id), new Uint8Array(2 * MIB).fill(1));
    expect((await reader.read()).value?.every((byte) => byte === 1)).toBe(true);
    await reader.cancel();
  });

  test("storing and sending 200 MiB grows the memory by less than 32 MiB", async () => {
    const probe = spawn(
      process.execPath,
      [join(import.meta.dirname, "memory-probe.ts"), await temporaryFolder()],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    undo.push(() => probe.kill("SIGKILL"));
    const [port] = await once(probe.stdout, "data");
    const url = `http://127.0.0.1:${Number(String(port))}`;
    let total = 0;
    for await (const chunk of (await fetch(url)).body ?? []) total += chunk.length;
    expect(total).toBe(200 * MIB);
    expect(await (await fetch(`${url}/growth`)).json()).toBeLessThan(32);
  }, 60_000);

  const small = mountSmallDisk();
  afterAll(() => {
    if (small === undefined) return;
    spawnSync("umount", [small]);
    rmdirSync(small);
  });
  if (small === undefined)
    console.warn("no full-disk test: mounting a tmpfs is not permitted here");
  test.skipIf(small === undefined)(
    "a full disk is STORAGE_FULL, leaves nothing, and the next small file fits (needs a tmpfs)",
    async () => {
      const folder = small!;
      const blobs = createFsBlobs({ folder });
      const id = ids.uuid();
      const error = await blobs.write(id, endless(5 * MIB), limits()).catch((e) => e);
      expect(error.code).toBe("STORAGE_FULL");
      expect(error.message).not.toContain(folder);
      expect(error.retryAfterMs).toBeGreaterThan(0);
      expect(readdirSync(join(folder, "partial"))).toEqual([]);
      expect(await blobs.has(id)).toBe(false);
      const bytes = new Uint8Array(1000).fill(3);
      await blobs.write(id, streamOf(bytes), limits());
      expect(Buffer.compare(await bytesOf(await blobs.read(id)), bytes)).toBe(0);
    },
  );
});

function streamIn(found: BlobBody | undefined): ReadableStream<Uint8Array> {
  if (found?.body instanceof ReadableStream) return found.body;
  throw new Error("the blob was not found, or is no stream");
}

/** A disk of 1 MiB; undefined where mounting is not permitted. */
function mountSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-small-disk-"));
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
  if (mount.status === 0) return folder;
  rmdirSync(folder);
  return undefined;
}
