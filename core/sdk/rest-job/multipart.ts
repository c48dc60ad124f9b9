/**
 * Reads a multipart answer part by part, as it comes: a song of 100 MB is never whole in memory. An
 * answer that ends before its closing boundary is BACKEND_BAD_OUTPUT.
 */
import { Buffer } from "node:buffer";
import { BackendError } from "../errors.ts";
import { plainType } from "./files.ts";

export interface Part {
  /** Plain, in lower case; undefined when the part does not say. */
  readonly mediaType: string | undefined;
  /** To be read to its end, or cancelled, before the next part is asked for. */
  readonly body: ReadableStream<Uint8Array>;
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_PARTS = 100;
/** RFC 2046 allows 70 characters; a long one is costly to look for. */
const MAX_BOUNDARY = 200;
const HEADER_END = Buffer.from("\r\n\r\n");

/** The parts of an answer whose type is multipart/…; BACKEND_BAD_OUTPUT when it is none. */
export async function* partsOf(response: Response): AsyncGenerator<Part> {
  const type = response.headers.get("content-type") ?? "";
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(type);
  const mark = boundary?.[1] ?? boundary?.[2];
  if (!/^multipart\//i.test(type.trim()) || mark === undefined || response.body === null) {
    await response.body?.cancel();
    throw broken(`${type === "" ? "something untyped" : type}, not a multipart body`);
  }
  if (mark.length > MAX_BOUNDARY) {
    await response.body.cancel();
    throw broken(`a boundary of ${mark.length} characters`);
  }
  const source = createSource(response.body);
  try {
    // The first boundary may come without a line before it.
    source.unread(Buffer.from("\r\n"));
    const delimiter = Buffer.from(`\r\n--${mark}`);
    for await (const _preamble of source.until(delimiter));
    for (let parts = 0; ; parts += 1) {
      if ((await source.peek(2)).toString("latin1") === "--") return;
      if (parts === MAX_PARTS) throw broken(`more than ${MAX_PARTS} parts`);
      const mediaType = typeIn(await source.header());
      const pieces = source.until(delimiter);
      yield { mediaType, body: streamOf(pieces) };
      for await (const _rest of pieces);
    }
  } finally {
    await source.close();
  }
}

function broken(what: string): BackendError {
  return new BackendError("BACKEND_BAD_OUTPUT", `the server answered with ${what}`);
}

function typeIn(header: string): string | undefined {
  return plainType(/^content-type:[ \t]*(.+)$/im.exec(header)?.[1]?.trim());
}

function streamOf(pieces: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    },
    { highWaterMark: 0 },
  );
}

interface Source {
  /** Everything before `delimiter`, in pieces; the delimiter itself is consumed. */
  until(delimiter: Buffer): AsyncGenerator<Uint8Array>;
  /** The next bytes, which stay. */
  peek(bytes: number): Promise<Buffer>;
  /** The header lines of a part, from behind its boundary to the empty line. */
  header(): Promise<string>;
  unread(bytes: Buffer): void;
  close(): Promise<void>;
}

function createSource(body: ReadableStream<Uint8Array>): Source {
  const reader = body.getReader();
  let buffer: Buffer = Buffer.alloc(0);

  async function more(): Promise<void> {
    const { done, value } = await reader.read();
    if (done) throw broken("a multipart body that breaks off before its end");
    buffer = Buffer.concat([buffer, value]);
  }

  async function peek(bytes: number): Promise<Buffer> {
    while (buffer.length < bytes) await more();
    return buffer.subarray(0, bytes);
  }

  async function take(bytes: number): Promise<Buffer> {
    const taken = await peek(bytes);
    buffer = buffer.subarray(bytes);
    return taken;
  }

  return {
    peek,
    async *until(delimiter) {
      for (;;) {
        const end = buffer.indexOf(delimiter);
        if (end >= 0) {
          const piece = await take(end);
          await take(delimiter.length);
          if (piece.length > 0) yield new Uint8Array(piece);
          return;
        }
        // The tail may hold the start of the delimiter.
        const safe = buffer.length - delimiter.length + 1;
        if (safe > 0) yield new Uint8Array(await take(safe));
        await more();
      }
    },
    async header() {
      for (;;) {
        const end = buffer.indexOf(HEADER_END);
        if (end >= 0) return (await take(end + HEADER_END.length)).toString("latin1");
        if (buffer.length > MAX_HEADER_BYTES) throw broken("a part without an end of its header");
        await more();
      }
    },
    unread(bytes) {
      buffer = Buffer.concat([bytes, buffer]);
    },
    async close() {
      await reader.cancel().catch(() => {});
    },
  };
}
