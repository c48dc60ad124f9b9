/** What a submission carries: JSON, a form, or a multipart form with the request's files. */
import { Buffer } from "node:buffer";
import type { InputFile } from "../job.ts";
import { isRecord } from "./fields.ts";
import { fileName } from "./files.ts";
import { asText, fill } from "./template.ts";
import type { Submit, Template, TextFile, Values } from "./types.ts";

/** As the HTTP client takes it; undefined for a call without a body. */
export async function bodyOf(submit: Submit, values: Values): Promise<unknown> {
  if (submit.multipart !== undefined) return multipartOf(submit.multipart, values);
  if (submit.form !== undefined) {
    const form = new URLSearchParams();
    for (const [name, value] of fieldsOf(submit.form, values)) form.append(name, asText(value));
    return form;
  }
  if (submit.body === undefined) return undefined;
  // The client sends a string as text, and this is JSON whatever it is.
  const filled = await withoutFiles(fill(submit.body, values));
  return typeof filled === "object" ? filled : JSON.stringify(filled ?? null);
}

async function multipartOf(
  parts: Readonly<Record<string, Template | TextFile>>,
  values: Values,
): Promise<FormData> {
  const form = new FormData();
  for (const [name, part] of Object.entries(parts)) {
    if (isTextFile(part)) {
      const content = fill(part.file, values);
      if (content === undefined) continue;
      const type = part.mediaType ?? "text/plain";
      form.append(name, new Blob([asText(content)], { type }), part.name);
      continue;
    }
    for (const [, value] of fieldsOf({ [name]: part }, values)) {
      if (isInputFile(value)) form.append(name, await upload(name, value));
      else if (value instanceof File) form.append(name, value, value.name);
      else form.append(name, asText(value));
    }
  }
  return form;
}

/** One entry per value: a list becomes several fields of one name. */
function* fieldsOf(
  fields: Readonly<Record<string, Template>>,
  values: Values,
): Generator<readonly [string, unknown]> {
  for (const [name, template] of Object.entries(fields)) {
    const value = fill(template, values);
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) yield [name, one];
    }
  }
}

function isTextFile(part: Template | TextFile): part is TextFile {
  return isRecord(part) && "file" in part && typeof part.name === "string";
}

export function isInputFile(value: unknown): value is InputFile {
  return isRecord(value) && typeof value.blob === "function" && typeof value.mediaType === "string";
}

/** Servers look at the ending, so it is kept; the rest of the client's name is not. */
async function upload(field: string, file: InputFile): Promise<File> {
  const name = fileName(field.replace(/\W/g, "_"), file.mediaType, file.name);
  return new File([await file.blob()], name, { type: file.mediaType });
}

/** In JSON a file is its bytes in base64. */
async function withoutFiles(value: unknown): Promise<unknown> {
  if (isInputFile(value) || value instanceof Blob) {
    const blob = value instanceof Blob ? value : await value.blob();
    return Buffer.from(await blob.arrayBuffer()).toString("base64");
  }
  if (Array.isArray(value)) return Promise.all(value.map(withoutFiles));
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).map(
    async ([name, part]) => [name, await withoutFiles(part)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}
