/** Requests that bring files, and what the gateway keeps of them. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Gateway } from "../gateway.ts";

export const FILES = resolve(import.meta.dir, "..", "fixtures", "plugins", "files", "plugin.ts");

export interface Sent {
  readonly status: number;
  readonly headers: Headers;
  readonly data: any;
  readonly error: any;
}

type Value = string | Blob;

export function form(fields: Readonly<Record<string, Value>>): FormData {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  return made;
}

export const file = (bytes: Uint8Array<ArrayBuffer>, name: string, type = ""): File =>
  new File([bytes], name, { type });

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** A form goes as multipart, anything else as JSON; a stream or text as it is. */
export async function send(
  gateway: Gateway,
  path: string,
  body: FormData | object | string,
  { key = gateway.key, headers = {} }: { key?: string; headers?: Record<string, string> } = {},
): Promise<Sent> {
  const isRaw =
    body instanceof FormData || body instanceof ReadableStream || typeof body === "string";
  const response = await fetch(gateway.url + path, {
    method: "POST",
    headers: {
      "x-api-key": key,
      ...(body instanceof FormData ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    body: isRaw ? (body as any) : JSON.stringify(body),
    ...(body instanceof ReadableStream ? { duplex: "half" } : {}),
  } as RequestInit);
  const json: any = await response.json().catch(() => undefined);
  const { status, headers: answered } = response;
  return { status, headers: answered, data: json?.data, error: json?.error };
}

/** Paths of the files in the gateway's store, whole ones and partial ones. */
export function stored(gateway: Pick<Gateway, "folder">): string[] {
  const root = join(gateway.folder, "data", "artifacts");
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true })
    .map(String)
    .filter((path) => statSync(join(root, path)).isFile())
    .sort();
}
