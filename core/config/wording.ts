/** The words of a message about a value: what was expected, what stands there, which slip. */
import { nearest } from "../sdk/nearest.ts";
import type { Path } from "./problems.ts";
import { converted, fits } from "./scalars.ts";
import { isSecret } from "./secrets.ts";
import { choicesOf, type Shape } from "./shape.ts";
import type { SourceNode } from "./source.ts";

/** "an integer between 1 and 65535" */
export function expected(shape: Shape): string {
  const choices = choicesOf(shape);
  if (choices) return `${choices.length > 1 ? "one of " : ""}${choices.join(", ")}`;
  if (shape.anyOf) return shape.anyOf.map(expected).join(" or ");
  const { minimum, maximum, multipleOf, minLength = 0, maxLength, pattern, names } = shape;
  const { exclusiveMinimum: above, exclusiveMaximum: below } = shape;
  const open = [
    above === undefined ? "" : ` above ${above}`,
    below === undefined ? "" : ` below ${below}`,
  ].join("");
  const step = multipleOf === undefined ? "" : `, a multiple of ${multipleOf}`;
  switch (shape.type) {
    case "integer":
      return `an integer${bounds(minimum, maximum)}${open}${step}`;
    case "number":
      return `a number${bounds(minimum, maximum)}${open}${step}`;
    case "boolean":
      return "true or false";
    case "string":
      if (pattern) return names ? `text of ${names}` : `text that matches ${pattern}`;
      return maxLength ? `text of ${minLength} to ${maxLength} characters` : "text";
    case "array":
      return `a list${bounds(shape.minItems, shape.maxItems, " entries")}`;
    case "null":
      return "nothing";
    default:
      return "settings, each as `name: value`";
  }
}

function bounds(low: number | undefined, high: number | undefined, unit = ""): string {
  if (high === Number.MAX_SAFE_INTEGER) return bounds(low, undefined, unit);
  if (low !== undefined && high !== undefined) return ` between ${low} and ${high}${unit}`;
  if (low !== undefined) return ` of at least ${low}${unit}`;
  return high === undefined ? "" : ` of at most ${high}${unit}`;
}

/** What stands there; never a secret. */
export function got(shape: Shape, node: SourceNode, path: Path): string {
  if (node.kind === "map") return "a group of settings";
  if (node.kind === "list") return "a list";
  if (node.value === null || node.value === "") return "nothing";
  const hidden = node.variables.find(({ name }) => isSecret(path, name));
  if (hidden) return `the value of \${${hidden.name}}`;
  if (shape.secret) return `a ${typeof node.value}`;
  const shown = JSON.stringify(node.value) ?? String(node.value);
  const short = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown;
  const [variable] = node.variables;
  return variable ? `${short} (from \${${variable.name}})` : short;
}

/** The usual slips of YAML, said in one clause. */
export function slip(shape: Shape, node: SourceNode): string {
  if (node.kind !== "scalar") return "";
  if (typeof node.value === "string") {
    const choices = choicesOf(shape)?.map(String);
    const meant = choices && nearest(node.value, choices);
    if (meant) return `; did you mean \`${meant}\`?`;
    if (node.variables.length === 0 && fits(shape, converted(shape, node.value))) {
      return "; remove the quotes";
    }
    if (shape.type === "array" && node.value !== "") return "; write it as [value]";
    return "";
  }
  return shape.type === "string" && node.value !== null ? "; put it in quotes" : "";
}
