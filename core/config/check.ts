/**
 * Compares what was read with a schema: fills in defaults, converts what came out of the
 * environment, and reports everything that is wrong in the words of the person who wrote the file.
 */
import { nearest } from "../sdk/nearest.ts";
import { keyOf, type Path, type Problem } from "./problems.ts";
import { converted, fits } from "./scalars.ts";
import { choicesOf, isAnything, merged, type Shape } from "./shape.ts";
import { emptyMap, type MapNode, type SourceNode, toPlain } from "./source.ts";
import { expected, got, slip } from "./wording.ts";

export interface CheckContext {
  report(problem: Problem): void;
  /** What to say about a key that is not among `known`. */
  unknownKey(path: Path, known: readonly string[]): string;
}

/** The value with defaults, or undefined where it is absent or unusable. */
export function check(shape: Shape, node: SourceNode, path: Path, context: CheckContext): unknown {
  if (node.kind === "scalar" && node.unusable) return undefined;
  if (shape.allOf) return checkObject(merged(shape.allOf), asMap(node), path, context, node);
  if (shape.patternProperties) return checkRecord(shape, asMap(node), path, context, node);
  if (shape.type === "object") return checkObject(shape, asMap(node), path, context, node);
  if (shape.type === "array") return checkList(shape, node, path, context);
  if (shape.anyOf && !choicesOf(shape)) return checkAny(shape, shape.anyOf, node, path, context);
  return checkScalar(shape, node, path, context);
}

/** What a message may say about a key that nobody knows. */
export function adviseKey(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  if (meant) return `unknown key; did you mean \`${meant}\`?`;
  return `unknown key; known here: ${known.join(", ") || "none"}`;
}

function checkObject(
  shape: Shape,
  map: MapNode | undefined,
  path: Path,
  context: CheckContext,
  node: SourceNode,
): unknown {
  if (!map) return wrongType(shape, node, path, context);
  const properties = shape.properties ?? {};
  const result: [string, unknown][] = [];
  let usable = true;
  for (const [name, property] of Object.entries(properties)) {
    const value = checkProperty(shape, name, property, map, path, context);
    if (value !== undefined) result.push([name, value]);
    else if (shape.required?.includes(name)) usable = false;
  }
  for (const [name, child] of map.entries) {
    if (Object.hasOwn(properties, name)) continue;
    const here = [...path, name];
    if (shape.additionalProperties === true) result.push([name, toPlain(child)]);
    else if (typeof shape.additionalProperties === "object") {
      result.push([name, check(shape.additionalProperties, child, here, context)]);
    } else {
      const message = context.unknownKey(here, Object.keys(properties));
      context.report({ line: child.line, key: keyOf(here), message });
    }
  }
  return usable ? Object.fromEntries(result) : undefined;
}

function checkProperty(
  parent: Shape,
  name: string,
  property: Shape,
  map: MapNode,
  path: Path,
  context: CheckContext,
): unknown {
  const child = map.entries.get(name);
  const here = [...path, name];
  const fallback = property.default === undefined ? undefined : structuredClone(property.default);
  const isRequired = parent.required?.includes(name);
  const isSection = isRequired && property.type === "object" && property.properties;
  if (child && !isEmptySection(property, child)) {
    const value = check(property, child, here, context) ?? fallback;
    const isLost = value === undefined && isSection;
    return isLost ? check(property, emptyMap(), here, { ...context, report() {} }) : value;
  }
  if (fallback !== undefined) return fallback;
  if (!isRequired) return undefined;
  // A section whose settings all have defaults may be left out as a whole.
  if (isSection) return check(property, emptyMap(map.line), here, context);
  const message = `required, but missing: ${property.description ?? expected(property)}`;
  context.report({ line: child?.line ?? map.line, key: keyOf(here), message });
  return undefined;
}

function checkRecord(
  shape: Shape,
  map: MapNode | undefined,
  path: Path,
  context: CheckContext,
  node: SourceNode,
): unknown {
  if (!map) return wrongType(shape, node, path, context);
  const [pattern = "", valueShape = {}] = Object.entries(shape.patternProperties ?? {})[0] ?? [];
  const result: [string, unknown][] = [];
  for (const [name, child] of map.entries) {
    const here = [...path, name];
    if (!new RegExp(pattern).test(name)) {
      const message = `not a valid name here; use ${shape.names ?? `text that matches ${pattern}`}`;
      context.report({ line: child.line, key: keyOf(here), message });
    }
    const value = check(valueShape, child, here, context);
    if (value !== undefined) result.push([name, value]);
  }
  if (map.entries.size < (shape.minProperties ?? 0)) {
    const message = "empty; give at least one entry or remove it";
    context.report({ line: map.line, key: keyOf(path), message });
    return undefined;
  }
  return Object.fromEntries(result);
}

function checkList(shape: Shape, node: SourceNode, path: Path, context: CheckContext): unknown {
  if (node.kind !== "list") return wrongType(shape, node, path, context);
  const { items = {}, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = shape;
  const size = node.items.length;
  if (size < minItems || size > maxItems) {
    const message = `expected ${expected(shape)}, got ${size}`;
    context.report({ line: node.line, key: keyOf(path), message });
    return undefined;
  }
  return node.items.flatMap((item, index) => {
    const itemShape = "length" in items ? (items[index] ?? {}) : items;
    const value = check(itemShape, item, [...path, `[${index}]`], context);
    return value === undefined ? [] : [value];
  });
}

/** The first alternative without a problem wins; otherwise the alternatives are named. */
function checkAny(
  shape: Shape,
  alternatives: readonly Shape[],
  node: SourceNode,
  path: Path,
  context: CheckContext,
): unknown {
  for (const alternative of alternatives) {
    let wrong = false;
    const report = (): void => {
      wrong = true;
    };
    const value = check(alternative, node, path, { ...context, report });
    if (!wrong) return value;
  }
  return wrongType(shape, node, path, context);
}

function checkScalar(shape: Shape, node: SourceNode, path: Path, context: CheckContext): unknown {
  if (node.kind === "scalar") {
    const value =
      node.variables.length > 0 || node.override ? converted(shape, node.value) : node.value;
    if (fits(shape, value)) return value;
  } else if (isAnything(shape)) return toPlain(node);
  return wrongType(shape, node, path, context);
}

function wrongType(shape: Shape, node: SourceNode, path: Path, context: CheckContext): undefined {
  const message = `expected ${expected(shape)}, got ${got(shape, node, path)}`;
  const override = node.kind === "scalar" ? node.override : undefined;
  if (override) context.report({ key: override, message, origin: "environment" });
  else context.report({ line: node.line, key: keyOf(path), message: message + slip(shape, node) });
  return undefined;
}

function asMap(node: SourceNode): MapNode | undefined {
  if (node.kind === "map") return node;
  // `backends:` with nothing under it is what is left when all its lines are comments.
  return node.kind === "scalar" && node.value === null ? emptyMap(node.line) : undefined;
}

const isEmptySection = (shape: Shape, node: SourceNode): boolean =>
  shape.default !== undefined &&
  (shape.type === "object" || shape.type === "array") &&
  node.kind === "scalar" &&
  node.value === null;
