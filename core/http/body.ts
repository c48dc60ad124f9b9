/** Reads a body with a cap of its own: the runtime's 413 has no envelope. */
import { GatewayError } from "../errors.ts";
import { formOf } from "./form.ts";
import { isForm } from "./multipart.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** Of a body that may bring files. */
  readonly maxUploadBytes: number;
}

/** Files in JSON stand in memory several times over; larger ones come as a form. */
const MAX_BASE64_BYTES = 16 * 1024 * 1024;
const JSON_TYPE = /^application\/([\w.-]+\+)?json\s*(;|$)/i;

/**
 * JSON, or a `Form` where the route takes files. Throws PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE
 * or BAD_REQUEST.
 */
export async function readBody(
  request: Request,
  { maxBodyBytes, maxUploadBytes }: BodyLimits,
  takesFiles: boolean,
): Promise<unknown> {
  const { headers } = request;
  const type = headers.get("content-type") ?? "";
  const bringsForm = takesFiles && isForm(type);
  if (!bringsForm && !JSON_TYPE.test(type)) {
    const wanted = `application/json${takesFiles ? " or multipart/form-data" : ""}`;
    const message = `The body's type is "${type || "missing"}"; send Content-Type: ${wanted}`;
    throw new GatewayError("UNSUPPORTED_MEDIA_TYPE", message);
  }
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    const message = `Content-Encoding "${encoding}" is not supported; send the body as it is`;
    throw new GatewayError("UNSUPPORTED_MEDIA_TYPE", message);
  }
  if (bringsForm) {
    const maxBytes = Math.max(maxBodyBytes, maxUploadBytes);
    return formOf(request, { maxBytes, maxTextBytes: maxBodyBytes });
  }
  const maxUpload = takesFiles ? Math.min(maxUploadBytes, MAX_BASE64_BYTES) : 0;
  const text = await readText(request, Math.max(maxBodyBytes, maxUpload), takesFiles);
  if (text === "") throw new GatewayError("BAD_REQUEST", "The body is empty; send a JSON object");
  try {
    return JSON.parse(text);
  } catch {
    throw new GatewayError("BAD_REQUEST", "The body is not well-formed JSON");
  }
}

async function readText(request: Request, maxBytes: number, takesFiles: boolean): Promise<string> {
  // Not a number when it is missing, or came twice ("7, 7"): then the bytes themselves are counted.
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  if (length > maxBytes) throw tooLarge(maxBytes, takesFiles);
  if (length <= maxBytes) return request.text();
  let size = 0;
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes, takesFiles);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function tooLarge(maxBytes: number, takesFiles: boolean): GatewayError {
  const hint = takesFiles ? "; send files as parts of a form" : "";
  return new GatewayError("PAYLOAD_TOO_LARGE", `The body is larger than ${maxBytes} bytes${hint}`);
}
