/**
 * The files of a request on their way into its job. A file field comes as a part of a form, as
 * base64, or as the id of an earlier artifact; afterwards it is a reference to a file of the job's
 * own. Whoever opens a parcel must discard it unless the job was made.
 */
import { createHash } from "node:crypto";
import type { TSchema } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";
import { type Call, Form, fileFields } from "../http/route.ts";
import type { FileKind } from "../sdk/inputs.ts";
import { invalid } from "../validation.ts";
import { bodyOfFields } from "./form-fields.ts";
import type { FilesPort, Incoming } from "./ports.ts";
import type { JobRow } from "./row.ts";

export interface Parcel {
  /** The request as JSON; a file field is a reference, which has no meaning yet. */
  readonly body: unknown;
  /** Tells this request from another one: the body with its files' hashes. */
  readonly identity: unknown;
  /** Stores what is not stored yet; the input that names the files, and the files. */
  pack(input: Record<string, unknown>): Promise<Packed>;
  discard(): Promise<void>;
}

export interface Packed {
  readonly input: Record<string, unknown>;
  readonly files: readonly Incoming[];
}

export interface Intake {
  /** `keeps` false: everything is checked, nothing is stored. */
  open(
    schema: TSchema,
    call: Pick<Call<unknown, unknown, unknown>, "body">,
    options: { readonly keyId: string; readonly keeps: boolean },
  ): Promise<Parcel>;
  /** The files of an earlier job, for the one that runs it again. */
  again(row: JobRow, schema: TSchema, input: Record<string, unknown>): Packed;
}

/** What a field brought. */
type Source =
  | { readonly kind: "stored"; readonly file: Incoming }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly name: string }
  | { readonly kind: "earlier"; readonly id: string }
  | { readonly kind: "examined" };

/** Stands in the body while it is checked. */
const PLACEHOLDER = { artifact_id: "00000000-0000-0000-0000-000000000000" };
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const FORMS = 'a part of a multipart form, {"base64": …} or {"artifact_id": …}';

export function createIntake(files: FilesPort | undefined): Intake {
  /** The kinds by field; none where nobody keeps files. */
  const fieldsOf = (schema: TSchema) => (files ? fileFields(schema) : {});

  async function open(
    schema: TSchema,
    { body: given }: Pick<Call<unknown, unknown, unknown>, "body">,
    { keyId, keeps }: { readonly keyId: string; readonly keeps: boolean },
  ): Promise<Parcel> {
    if (given instanceof Form && !files) throw new GatewayError("UNSUPPORTED_MEDIA_TYPE");
    const kinds = fieldsOf(schema);
    const sources = new Map<string, Source>();

    async function discard(): Promise<void> {
      for (const source of sources.values()) {
        if (source.kind === "stored") await files?.discard(source.file);
      }
      sources.clear();
    }

    async function readForm(form: Form): Promise<Record<string, unknown>> {
      const fields = await form.read(async ({ field, name, mediaType, body }) => {
        const kind = Object.hasOwn(kinds, field) ? kinds[field] : undefined;
        if (!files || !kind) throw noSuchField(field, kinds);
        if (sources.has(field)) throw invalid([{ field: `/${field}`, message: "comes twice" }]);
        const upload = { field, kind, name, declared: mediaType, body };
        if (keeps) sources.set(field, { kind: "stored", file: await files.receive(upload) });
        else {
          await files.examine(upload);
          sources.set(field, { kind: "examined" });
        }
      });
      return bodyOfFields(fields, schema);
    }

    async function packed(field: string, source: Source): Promise<Incoming | undefined> {
      const kind = kinds[field];
      if (!files || !kind || source.kind === "examined") return undefined;
      if (source.kind === "stored") return source.file;
      if (source.kind === "earlier") return files.find({ field, kind, id: source.id }, { keyId });
      const upload = { field, kind, name: source.name, body: source.bytes };
      if (!keeps) {
        await files.examine(upload);
        return undefined;
      }
      const file = await files.receive(upload);
      // From now on it has to be discarded.
      sources.set(field, { kind: "stored", file });
      return file;
    }

    async function pack(input: Record<string, unknown>): Promise<Packed> {
      const named = { ...input };
      const taken: Incoming[] = [];
      // What needs no bytes is checked first.
      const inOrder = [...sources].sort(([, a], [, b]) => Number(isCheap(b)) - Number(isCheap(a)));
      for (const [field, source] of inOrder) {
        if (input[field] === undefined) {
          // A backend that has no such field was chosen: its schema dropped it.
          if (source.kind === "stored") await files?.discard(source.file);
          sources.delete(field);
          continue;
        }
        const file = await packed(field, source);
        if (!file) continue;
        named[field] = { artifact_id: file.id };
        taken.push(file);
      }
      return { input: named, files: taken };
    }

    try {
      const isObject = typeof given === "object" && given !== null && !Array.isArray(given);
      if (!isObject || Object.keys(kinds).length === 0) {
        const nothing = async (input: Record<string, unknown>) => ({ input, files: [] });
        return { body: given, identity: given, pack: nothing, discard };
      }
      const body = given instanceof Form ? await readForm(given) : { ...given };
      const values: Record<string, unknown> = body;
      const contents: Record<string, string> = {};
      for (const field of Object.keys(kinds)) {
        if (values[field] != null) {
          if (sources.has(field)) throw invalid([{ field: `/${field}`, message: "comes twice" }]);
          sources.set(field, sourceOf(field, values[field]));
        }
        const source = sources.get(field);
        if (!source) continue;
        contents[field] = contentOf(source);
        values[field] = PLACEHOLDER;
      }
      return { body, identity: { ...body, ...contents }, pack, discard };
    } catch (error) {
      await discard();
      throw error;
    }
  }

  return {
    open,
    again(row, schema, input) {
      const named = { ...input };
      const taken: Incoming[] = [];
      for (const [field, kind] of Object.entries(fieldsOf(schema))) {
        const id = referenceOf(row.input[field]);
        if (!files || id === undefined || input[field] === undefined) continue;
        const file = files.find({ field, kind, id }, { jobId: row.id });
        named[field] = { artifact_id: file.id };
        taken.push(file);
      }
      return { input: named, files: taken };
    },
  };
}

function sourceOf(field: string, value: unknown): Source {
  const fault = (message: string) => invalid([{ field: `/${field}`, message }]);
  const id = referenceOf(value);
  if (id !== undefined) return { kind: "earlier", id };
  if (typeof value === "object" && value !== null && "base64" in value) {
    const { base64, name = field } = value as { base64: unknown; name?: unknown };
    if (typeof base64 !== "string") throw fault("base64 must be a text");
    if (typeof name !== "string") throw fault("name must be a text");
    if (base64.startsWith("data:"))
      throw fault('send what follows "base64," of the data: URL alone');
    const text = base64.replace(/\s+/g, "");
    if (!BASE64.test(text)) throw fault("is not base64");
    return { kind: "bytes", bytes: Buffer.from(text, "base64"), name };
  }
  const isUrl = typeof value === "object" && value !== null && "url" in value;
  const refusal = isUrl || typeof value === "string" ? "URLs and paths are not read: " : "";
  throw fault(`${refusal}send the bytes as ${FORMS}`);
}

function referenceOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !("artifact_id" in value)) return undefined;
  return typeof value.artifact_id === "string" ? value.artifact_id : undefined;
}

function noSuchField(field: string, kinds: Readonly<Record<string, FileKind>>): GatewayError {
  const message = `no field of this name takes a file; there is ${Object.keys(kinds).join(", ")}`;
  return invalid([{ field: `/${field}`, message }]);
}

const isCheap = ({ kind }: Source): boolean => kind === "earlier";

/** The same for the same bytes, however they came. */
function contentOf(source: Source): string {
  switch (source.kind) {
    case "stored":
      return source.file.sha256;
    case "bytes":
      return createHash("sha256").update(source.bytes).digest("hex");
    case "earlier":
      return source.id;
    case "examined":
      return "";
  }
}
