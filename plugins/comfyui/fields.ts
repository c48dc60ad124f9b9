/** Fields of a request that are parameters of a workflow by themselves, and their tokens. */

export const FIELDS = [
  "prompt",
  "negative_prompt",
  "model",
  "width",
  "height",
  "steps",
  "cfg",
  "seed",
  "batch",
  "init_image",
  "strength",
] as const;

export type Field = (typeof FIELDS)[number];

/** The field that a value such as "{{seed}}" stands for. */
export function tokenOf(value: unknown): Field | undefined {
  const name = typeof value === "string" ? /^\{\{(\w+)\}\}$/.exec(value)?.[1] : undefined;
  return FIELDS.find((field) => field === name);
}
