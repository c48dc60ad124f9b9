/** A multipart body as a handler reads it: its files as streams, its other fields as texts. */
import { GatewayError } from "../errors.ts";
import { badForm, type Part, partsOf, tooLarge } from "./multipart.ts";
import { Form, type FormFile } from "./route.ts";

export interface FormLimits {
  /** Of the whole body. */
  readonly maxBytes: number;
  /** Of all parts that are not files together. */
  readonly maxTextBytes: number;
  /** Milliseconds without a byte; 60,000 unless said. */
  readonly silenceMs?: number;
}

const MAX_PARTS = 64;
const SILENCE_MS = 60_000;
const NO_TYPE = "application/octet-stream";

/** Throws PAYLOAD_TOO_LARGE when the request itself says so. */
export function formOf(request: Request, limits: FormLimits): Form {
  if (Number(request.headers.get("content-length")) > limits.maxBytes) {
    throw tooLarge(limits.maxBytes);
  }
  return new Form((take) => readForm(request, limits, take));
}

async function readForm(
  request: Request,
  { maxBytes, maxTextBytes, silenceMs = SILENCE_MS }: FormLimits,
  take: (file: FormFile) => Promise<void>,
): Promise<Record<string, string>> {
  const fields: Record<string, string> = Object.create(null);
  let count = 0;
  let left = maxTextBytes;
  for await (const part of partsOf(request, { maxBytes, silenceMs })) {
    const { name, fileName, mediaType = NO_TYPE, body } = part;
    if (++count > MAX_PARTS) throw badForm(`it has more than ${MAX_PARTS} parts`);
    if (isFile(part)) {
      await take({ field: name, name: fileName ?? name, mediaType, body });
      continue;
    }
    if (name in fields) throw badForm(`the field ${JSON.stringify(name)} comes twice`);
    const text = await textOf(body, left);
    if (text === undefined) {
      const message = `The fields of the form are larger than ${maxTextBytes} bytes`;
      throw new GatewayError("PAYLOAD_TOO_LARGE", message);
    }
    left -= Buffer.byteLength(text);
    fields[name] = text;
  }
  return fields;
}

/** Browsers give a file name to JSON that a page puts into a form, too. */
function isFile({ fileName, mediaType }: Part): boolean {
  return fileName !== undefined && !/^application\/json\s*(;|$)/i.test(mediaType ?? "");
}

/** Undefined when it is longer. */
async function textOf(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
