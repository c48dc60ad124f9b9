/**
 * A process of its own that stores 200 MiB and serves them, so that its memory can be measured
 * without other tests' garbage. Prints its port; GET / is the file, GET /growth its growth so far
 * in MiB. Runs on Bun and on Deno: <runtime> memory-probe.ts <folder>
 */
import { createFsBlobs } from "../../../core/artifacts/fs-blobs.ts";
import { createIds } from "../../../core/ids.ts";
import { fileBody, serve } from "../../../core/runtime/mod.ts";
import { endless } from "./samples.ts";

const MIB = 1024 * 1024;
const SIZE = 200 * MIB;
const ids = createIds();
const blobs = createFsBlobs({ folder: process.argv[2] ?? "", fileBody });

async function store(sizeBytes: number): Promise<string> {
  const id = ids.uuid();
  const signal = new AbortController().signal;
  await blobs.write(id, endless(sizeBytes), { maxBytes: SIZE, signal });
  return id;
}

async function answer(request: Request): Promise<Response> {
  if (request.url.endsWith("/growth")) return Response.json((peak - before) / MIB);
  const found = await blobs.read(request.url.endsWith("/warm") ? warm : whole);
  const headers = { "content-length": String(found?.sizeBytes) };
  return new Response(found?.body, { headers });
}

const server = await serve({ host: "127.0.0.1", port: 0, maxBodyBytes: 1000, fetch: answer });
// What the code itself needs is there before the measuring begins.
const warm = await store(8 * MIB);
await (await globalThis.fetch(`http://127.0.0.1:${server.port}/warm`)).body?.cancel();
const before = process.memoryUsage().rss;
let peak = before;
setInterval(() => {
  peak = Math.max(peak, process.memoryUsage().rss);
}, 5);
const whole = await store(SIZE);
console.log(server.port);
