/** Multipart forms: the same parts as the runtime's own reader finds, however the bytes arrive. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formOf } from "../../../core/http/form.ts";
import { type Part, partsOf } from "../../../core/http/multipart.ts";

const LIMITS = { maxBytes: 10_000_000, silenceMs: 5_000 };

function requestOf(body: Uint8Array | ReadableStream<Uint8Array>, type: string): Request {
  const headers = { "content-type": type };
  return new Request("http://x/", {
    method: "POST",
    body: body as BodyInit,
    headers,
    duplex: "half",
  } as RequestInit);
}

/** The bytes in pieces of these sizes, over and over. */
function inPieces(bytes: Uint8Array, sizes: readonly number[]): ReadableStream<Uint8Array> {
  let at = 0;
  let turn = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      const size = sizes[turn++ % sizes.length] ?? 1;
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
    },
  });
}

async function read(request: Request): Promise<(Omit<Part, "body"> & { bytes: number[] })[]> {
  const found = [];
  for await (const { body, ...part } of partsOf(request, LIMITS)) {
    found.push({ ...part, bytes: [...new Uint8Array(await new Response(body).arrayBuffer())] });
  }
  return found;
}

/** Bytes that look like the boundary and are not, among others. */
const content = fc
  .array(
    fc.oneof(fc.constantFrom("\r\n--", "\r", "\n", "--", "\r\n--bound", "\r\n\r\n"), fc.string()),
    {
      maxLength: 8,
    },
  )
  .map((pieces) => new TextEncoder().encode(pieces.join("")));
const name = fc.stringMatching(/^[a-z_]{1,12}$/);
const part = fc.record({
  name,
  content,
  fileName: fc.option(fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }), {
    nil: undefined,
  }),
});

describe("a multipart form", () => {
  test("has the parts that were put into it, in pieces of any size", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
        async (parts, sizes) => {
          const form = new FormData();
          for (const { name, content, fileName } of parts) {
            if (fileName === undefined) form.append(name, new TextDecoder().decode(content));
            else form.append(name, new File([content], fileName, { type: "image/png" }));
          }
          const made = new Response(form);
          const type = made.headers.get("content-type") ?? "";
          const bytes = new Uint8Array(await made.arrayBuffer());
          const found = await read(requestOf(inPieces(bytes, sizes), type));
          const wanted = await new Response(bytes, {
            headers: { "content-type": type },
          }).formData();
          const entries = [...wanted.entries()];
          expect(found.map((it) => it.name)).toEqual(entries.map(([key]) => key));
          for (const [index, [, value]] of entries.entries()) {
            const sent = typeof value === "string" ? new Blob([value]) : value;
            expect(found[index]?.bytes).toEqual([...new Uint8Array(await sent.arrayBuffer())]);
            expect(found[index]?.fileName === undefined).toBe(typeof value === "string");
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("whatever the bytes are, it ends, and an error is one of ours", async () => {
    const junk = fc.array(
      fc.constantFrom(
        "--b",
        "\r\n",
        "--",
        "--b--",
        "\r\n--b\r\n",
        ": ",
        'name="a"',
        "x".repeat(30),
        "Content-Disposition: form-data; ",
        'filename="',
        "\\",
        "\0",
      ),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(junk, fc.integer({ min: 1, max: 20 }), async (pieces, size) => {
        const bytes = new TextEncoder().encode(pieces.join(""));
        const request = requestOf(inPieces(bytes, [size]), "multipart/form-data; boundary=b");
        const error = await read(request).then(
          () => undefined,
          (cause) => cause,
        );
        if (error !== undefined) expect(error.code).toBe("BAD_REQUEST");
      }),
      { numRuns: 500 },
    );
  });

  test("names keep their quotes, spaces, backslashes and letters of any script", async () => {
    const raw = [
      "--b",
      'content-disposition: form-data; filename="a \\"b\\" \\\\ 图片.png"; name="图"',
      "Content-Type: Image/PNG; x=y",
      "",
      "1",
      "--b  ",
      "Content-Disposition: form-data; name=plain",
      "",
      "2",
      "--b--",
      "an epilogue",
    ].join("\r\n");
    const bytes = new TextEncoder().encode(`a preamble\r\n${raw}`);
    const parts = await read(requestOf(bytes, 'Multipart/Form-Data; boundary="b"'));
    expect(parts.map(({ bytes: _, ...it }) => it)).toEqual([
      { name: "图", fileName: 'a "b" \\ 图片.png', mediaType: "Image/PNG; x=y" },
      { name: "plain", fileName: undefined, mediaType: undefined },
    ]);
    expect(parts.map((it) => it.bytes)).toEqual([[49], [50]]);
  });

  test("a part that nobody reads is skipped, and one that is read in part, too", async () => {
    const form = new FormData();
    for (const field of ["a", "b", "c"])
      form.append(field, new File([new Uint8Array(99_999)], "f"));
    const made = new Response(form);
    const type = made.headers.get("content-type") ?? "";
    const request = requestOf(inPieces(new Uint8Array(await made.arrayBuffer()), [1_000]), type);
    const names: string[] = [];
    for await (const { name, body } of partsOf(request, LIMITS)) {
      names.push(name);
      if (name === "b") await body.getReader().read();
    }
    expect(names).toEqual(["a", "b", "c"]);
  });

  test("the request is read no faster than its file is taken", async () => {
    let pulled = 0;
    const head = '--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n';
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (pulled++ === 0) controller.enqueue(new TextEncoder().encode(head));
          else controller.enqueue(new Uint8Array(100_000));
        },
      },
      { highWaterMark: 0 },
    );
    const form = formOf(requestOf(body, "multipart/form-data; boundary=b"), {
      maxBytes: 1e9,
      maxTextBytes: 1_000,
    });
    const error = await form
      .read(async ({ body: file }) => {
        const reader = file.getReader();
        for (let count = 0; count < 5; count++) await reader.read();
        await Bun.sleep(50);
        throw new Error("enough");
      })
      .catch((cause) => cause);
    expect(error.message).toBe("enough");
    expect(pulled).toBeLessThan(10);
  });

  test("a client that falls silent is not waited for", async () => {
    const body = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) });
    const limits = { maxBytes: 1_000, maxTextBytes: 1_000, silenceMs: 30 };
    const form = formOf(requestOf(body, "multipart/form-data; boundary=b"), limits);
    const error = await form.read(async () => {}).catch((cause) => cause);
    expect([error.code, error.message]).toEqual([
      "BAD_REQUEST",
      "The form could not be read: nothing came for 30 ms",
    ]);
  });

  test("a name of the language is a field like any other", async () => {
    const form = new FormData();
    form.append("__proto__", '{"polluted":true}');
    form.append("constructor", "x");
    const made = new Response(form);
    const type = made.headers.get("content-type") ?? "";
    const request = requestOf(new Uint8Array(await made.arrayBuffer()), type);
    const fields = await formOf(request, { maxBytes: 10_000, maxTextBytes: 1_000 }).read(
      async () => {},
    );
    expect(Object.entries(fields)).toEqual([
      ["__proto__", '{"polluted":true}'],
      ["constructor", "x"],
    ]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});
