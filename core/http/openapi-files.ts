/** How the body of a route that takes files is documented: as JSON, and as a form. */
import type { TSchema } from "@sinclair/typebox";
import { fileFields } from "./route.ts";

interface BodyDocs {
  readonly content: Readonly<
    Record<string, { readonly schema: unknown; readonly example?: unknown }>
  >;
  /** What the schemas cannot say; "" when the route takes no files. */
  readonly words: string;
}

const FILES_IN_WORDS =
  "A file is a part of a `multipart/form-data` body (the other fields are parts too, or one part " +
  '`request` holds them as JSON), or in JSON `{"base64": "…", "name": "x.png"}` or ' +
  '`{"artifact_id": "…"}` of an earlier artifact of the same key. URLs are not read.';

export function bodyDocs(schema: TSchema, example: unknown): BodyDocs {
  const fields = Object.keys(fileFields(schema));
  if (fields.length === 0) {
    return { content: { "application/json": { schema, example } }, words: "" };
  }
  return {
    content: {
      "application/json": { schema: withFields(schema, inJson), example },
      "multipart/form-data": { schema: withFields(schema, inForm) },
    },
    words: FILES_IN_WORDS,
  };
}

/** Every variant of the body with its file fields described anew. */
function withFields(schema: TSchema, describe: (field: TSchema) => object): object {
  if (schema.anyOf) {
    return { ...schema, anyOf: schema.anyOf.map((it: TSchema) => withFields(it, describe)) };
  }
  const properties = Object.entries<TSchema>(schema.properties ?? {}).map(([name, field]) => [
    name,
    field.file ? describe(field) : field,
  ]);
  return { ...schema, properties: Object.fromEntries(properties) };
}

function inJson({ file, description }: TSchema): object {
  const object = (properties: object, required: string, title: string) => ({
    type: "object",
    title,
    properties,
    required: [required],
  });
  return {
    description: `${description ?? ""} (${file})`.trim(),
    oneOf: [
      object(
        {
          base64: { type: "string", contentEncoding: "base64", description: "The bytes." },
          name: { type: "string", description: "For display." },
        },
        "base64",
        "The bytes themselves",
      ),
      object(
        { artifact_id: { type: "string", format: "uuid", description: "Of the same key." } },
        "artifact_id",
        "An earlier artifact",
      ),
    ],
  };
}

function inForm({ file, description }: TSchema): object {
  return { type: "string", format: "binary", description: `${description ?? ""} (${file})`.trim() };
}
