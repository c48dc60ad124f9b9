/** Reads a JSON body with a cap of its own: the runtime's 413 has no envelope. */
import { GatewayError } from "../errors.ts";

const JSON_TYPE = /^application\/([\w.-]+\+)?json\s*(;|$)/i;

/** Throws PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE or BAD_REQUEST. */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  const { headers } = request;
  const type = headers.get("content-type") ?? "";
  if (!JSON_TYPE.test(type)) {
    const message = `The body's type is "${type || "missing"}"; send Content-Type: application/json`;
    throw new GatewayError("UNSUPPORTED_MEDIA_TYPE", message);
  }
  const encoding = headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    const message = `Content-Encoding "${encoding}" is not supported; send the body as it is`;
    throw new GatewayError("UNSUPPORTED_MEDIA_TYPE", message);
  }
  const text = await readText(request, maxBytes);
  if (text === "") throw new GatewayError("BAD_REQUEST", "The body is empty; send a JSON object");
  try {
    return JSON.parse(text);
  } catch {
    throw new GatewayError("BAD_REQUEST", "The body is not well-formed JSON");
  }
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  // Not a number when it is missing, or came twice ("7, 7"): then the bytes themselves are counted.
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  if (length > maxBytes) throw tooLarge(maxBytes);
  if (length <= maxBytes) return request.text();
  let size = 0;
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError("PAYLOAD_TOO_LARGE", `The body is larger than ${maxBytes} bytes`);
}
