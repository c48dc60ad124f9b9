import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { BackendError, ndjson, t } from "switchyard/sdk";

function cut(bytes: Uint8Array, places: readonly number[]): Response {
  const sorted = [0, ...places.map((at) => at % (bytes.length + 1)), bytes.length].sort(
    (a, b) => a - b,
  );
  return new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (let index = 1; index < sorted.length; index++) {
          controller.enqueue(bytes.slice(sorted[index - 1], sorted[index]));
        }
        controller.close();
      },
    }),
  );
}

test("every value comes out, wherever the chunks are cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.jsonValue(), { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.constantFrom("\n", "\r\n", "\n\n"),
      fc.boolean(),
      async (values, places, end, ended) => {
        const lines = values.map((value) => JSON.stringify(value)).join(end) + (ended ? end : "");
        const response = cut(new TextEncoder().encode(lines), places);
        const parsed = values.map((value) => JSON.parse(JSON.stringify(value)));
        expect(await Array.fromAsync(ndjson(response))).toEqual(parsed);
      },
    ),
    { numRuns: 200 },
  );
});

test("a line that is not JSON, or of another shape, is BACKEND_BAD_OUTPUT", async () => {
  const Line = t.Object({ done: t.Boolean() });
  for (const bad of ['{"done":', '{"done":1}', "<html>"]) {
    const seen: unknown[] = [];
    const read = async (): Promise<void> => {
      const body = new Response(`{"done":false}\n${bad}\n{"done":true}\n`);
      for await (const line of ndjson(body, Line)) seen.push(line.done);
    };
    const error = await read().catch((thrown: unknown) => thrown);
    expect(BackendError.is(error) && error.code).toBe("BACKEND_BAD_OUTPUT");
    expect(seen).toEqual([false]);
  }
});

test("a line without an end is refused before it fills the memory", async () => {
  let pieces = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pieces += 1;
      controller.enqueue(new Uint8Array(1024 * 1024).fill(120));
    },
  });
  const error = await Array.fromAsync(ndjson(new Response(endless))).catch((thrown) => thrown);
  expect(BackendError.is(error) && error.code).toBe("BACKEND_BAD_OUTPUT");
  expect(pieces).toBeLessThan(12);
});

test("leaving the loop closes the stream", async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode('{"a":1}\n')),
    cancel() {
      cancelled = true;
    },
  });
  for await (const line of ndjson(new Response(endless))) {
    expect(line).toEqual({ a: 1 });
    break;
  }
  expect(cancelled).toBe(true);
});
