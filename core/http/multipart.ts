/**
 * Reads multipart/form-data (RFC 7578) part by part. Pulling a part's body pulls the request, so
 * that never more than a chunk of it stands in memory; what is malformed is an error, not left out.
 */
import { GatewayError } from "../errors.ts";

export interface Part {
  readonly name: string;
  /** As the client gave it; undefined for a plain field. */
  readonly fileName?: string;
  readonly mediaType?: string;
  /** Read it before the next part is asked for; what is left by then is skipped. */
  readonly body: ReadableStream<Uint8Array>;
}

export interface PartLimits {
  readonly maxBytes: number;
  /** Milliseconds without a byte. */
  readonly silenceMs: number;
}

const FORM_TYPE = /^multipart\/form-data\s*(;|$)/i;
const BOUNDARY = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))/i;
const PARAMETER = /;\s*([a-z]+\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gi;
/** Room for a file name of some thousand characters. */
const MAX_HEADER_BYTES = 32 * 1024;
const MAX_PADDING = 256;
const LINE_END = Buffer.from("\r\n");
const HEADERS_END = Buffer.from("\r\n\r\n");

export function isForm(contentType: string): boolean {
  return FORM_TYPE.test(contentType);
}

/** Throws BAD_REQUEST for what is no form, PAYLOAD_TOO_LARGE for more than `maxBytes`. */
export async function* partsOf(request: Request, limits: PartLimits): AsyncGenerator<Part> {
  const found = BOUNDARY.exec(request.headers.get("content-type") ?? "");
  const boundary = found?.[1] ?? found?.[2];
  if (boundary === undefined) throw badForm("its Content-Type names no boundary");
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const source = createSource(request, limits);
  try {
    while (!(await source.before(delimiter)).isLast);
    while (!(await source.closes())) {
      const padding = await source.until(LINE_END, MAX_PADDING);
      if (padding.trim() !== "") throw badForm("something stands behind a boundary");
      const headers = await source.until(HEADERS_END, MAX_HEADER_BYTES);
      let isOver = false;
      const next = async () => {
        const { bytes, isLast } = await source.before(delimiter);
        isOver = isLast;
        return bytes;
      };
      yield { ...described(headers), body: streamOf(next, () => isOver) };
      while (!isOver) await next();
    }
    // What follows the last boundary means nothing; unread, it would cost the connection.
    while (await source.skip());
  } finally {
    source.close();
  }
}

export function badForm(why: string): GatewayError {
  return new GatewayError("BAD_REQUEST", `The form could not be read: ${why}`);
}

export function tooLarge(maxBytes: number): GatewayError {
  const message = `The body is larger than ${maxBytes} bytes (http.max_upload_bytes)`;
  return new GatewayError("PAYLOAD_TOO_LARGE", message);
}

function streamOf(next: () => Promise<Uint8Array>, isOver: () => boolean) {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let bytes = new Uint8Array(0);
        while (bytes.length === 0 && !isOver()) bytes = new Uint8Array(await next());
        if (bytes.length > 0) controller.enqueue(bytes);
        if (isOver()) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

function described(headers: string): Omit<Part, "body"> {
  const values = new Map<string, string>();
  for (const line of headers.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon < 1 || /[\r\n]/.test(line)) throw badForm("a part's header is malformed");
    values.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const disposition = values.get("content-disposition") ?? "";
  const parameters = new Map<string, string>();
  for (const [, key = "", quoted, plain] of disposition.matchAll(PARAMETER)) {
    // A path of Windows keeps its backslashes; its last segment is all that is ever shown.
    parameters.set(key.toLowerCase(), quoted?.replace(/\\(["\\])/g, "$1") ?? plain ?? "");
  }
  const name = parameters.get("name");
  if (!/^form-data\s*(;|$)/i.test(disposition) || name === undefined) {
    throw badForm("a part has no name");
  }
  return {
    name,
    fileName: parameters.get("filename"),
    mediaType: values.get("content-type"),
  };
}

/** The request's bytes, with a look ahead that is no longer than what is looked for. */
function createSource(request: Request, { maxBytes, silenceMs }: PartLimits) {
  const reader = request.body?.getReader();
  // As if a line had ended before: the first boundary may be the first thing there is.
  let buffer: Buffer = LINE_END;
  let size = 0;

  async function fill(): Promise<boolean> {
    const { promise: silence, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(badForm(`nothing came for ${silenceMs} ms`)), silenceMs);
    try {
      const read = reader?.read().catch((cause) => {
        throw new GatewayError("BAD_REQUEST", "The form broke off", { cause });
      });
      const { done, value } = (await Promise.race([read, silence])) ?? { done: true };
      if (done || !value) return false;
      size += value.length;
      if (size > maxBytes) throw tooLarge(maxBytes);
      buffer =
        buffer.length === 0
          ? Buffer.from(value.buffer, value.byteOffset, value.length)
          : Buffer.concat([buffer, value]);
      return true;
    } finally {
      clearTimeout(timer);
    }
  }

  async function more(): Promise<void> {
    if (!(await fill())) throw badForm("it ends before its last boundary");
  }

  function taken(length: number): Buffer {
    const bytes = buffer.subarray(0, length);
    buffer = buffer.subarray(length);
    return bytes;
  }

  return {
    /** Bytes before the mark; `isLast` when the mark came next, and was taken too. */
    async before(mark: Buffer): Promise<{ readonly bytes: Buffer; readonly isLast: boolean }> {
      while (buffer.length < mark.length) await more();
      const at = buffer.indexOf(mark);
      // The end may be the mark's beginning.
      if (at < 0) return { bytes: taken(buffer.length - mark.length + 1), isLast: false };
      const bytes = taken(at);
      taken(mark.length);
      return { bytes, isLast: true };
    },
    /** The text before the mark, which is taken too. */
    async until(mark: Buffer, maxLength: number): Promise<string> {
      for (;;) {
        const at = buffer.indexOf(mark);
        if (at > maxLength || (at < 0 && buffer.length > maxLength)) {
          throw badForm(`a part's header is longer than ${maxLength} bytes`);
        }
        if (at >= 0) {
          const text = taken(at).toString("utf8");
          taken(mark.length);
          return text;
        }
        await more();
      }
    },
    /** Whether the boundary just read was the last one. */
    async closes(): Promise<boolean> {
      while (buffer.length < 2) await more();
      return buffer.subarray(0, 2).toString("latin1") === "--";
    },
    skip() {
      buffer = Buffer.alloc(0);
      return fill();
    },
    close: () => void reader?.cancel().catch(() => {}),
  };
}
