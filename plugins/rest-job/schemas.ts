/** The schemas that the settings are made of. */
import { t } from "switchyard/sdk";

export const text = (description: string) => t.Optional(t.String({ minLength: 1, description }));
export const words = (description: string) => t.Optional(t.Array(t.String(), { description }));
export const byName = (description: string) =>
  t.Optional(t.Record(t.String(), t.String(), { description }));
export const timer = (description: string) =>
  t.Optional(t.Integer({ minimum: 1, maximum: 86_400_000, description }));
export const oneOf = <const Words extends readonly string[]>(...all: Words) =>
  t.Union(all.map((word) => t.Literal(word as Words[number])));
export const strict = <Parts extends Parameters<typeof t.Object>[0]>(
  parts: Parts,
  description = "",
) => t.Object(parts, { additionalProperties: false, description });

export const method = t.Optional(oneOf("GET", "POST", "PUT", "PATCH", "DELETE"));
export const path = t.String({
  pattern: "^/",
  description: "From the url on; {{id}} is the server's own.",
});
export const meanings = t.Optional(
  t.Record(
    t.String({ pattern: "^[1-5]\\d\\d$" }),
    oneOf("busy", "not-ready", "lost", "failed", "rejected"),
    {
      description: "What an HTTP status says here.",
    },
  ),
);
export const call = { method, path };
export const template = t.Record(t.String(), t.Unknown(), {
  description: "Values, or {{field}} of the request.",
});
