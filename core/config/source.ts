/**
 * Reads YAML into a tree that remembers the line of every key, so that each problem can name its
 * line. The tree uses Maps: a key such as `__proto__` is only a key.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLError,
} from "yaml";
import { keyOf, type Path, type Problem } from "./problems.ts";

export interface ScalarNode {
  readonly kind: "scalar";
  readonly line: number | undefined;
  readonly value: unknown;
  /** The `${NAME}`s it was made of, with what the environment gave. */
  readonly variables: readonly Variable[];
  /** The environment variable that stands in for the file's value, for example SWITCHYARD_PORT. */
  readonly override?: string;
  /** A problem was already reported here: the value says nothing. */
  readonly unusable?: true;
}

export interface Variable {
  readonly name: string;
  /** Undefined when the default was used. */
  readonly value: string | undefined;
}

export interface ListNode {
  readonly kind: "list";
  readonly line: number | undefined;
  readonly items: readonly SourceNode[];
}

export interface MapNode {
  readonly kind: "map";
  readonly line: number | undefined;
  readonly entries: ReadonlyMap<string, SourceNode>;
}

export type SourceNode = ScalarNode | ListNode | MapNode;

export interface Source {
  readonly root: SourceNode;
  /** Lines with a YAML error: what was read there is a guess. */
  readonly brokenLines: ReadonlySet<number>;
  readonly problems: readonly Problem[];
}

/** Anchors may be used this often; more is a mistake or an attempt to fill memory. */
const MAX_ALIASES = 100;

export function parseSource(text: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: "error",
  });
  const problems: Problem[] = [];
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const brokenLines = reportSyntax(document.errors, text.split("\n"), lineAt, problems);
  const walk: Walk = { document, lineAt, aliases: 0, report: (problem) => problems.push(problem) };
  const root = document.contents ? toNode(document.contents, [], undefined, walk) : emptyMap();
  return { root, brokenLines, problems };
}

export const emptyMap = (line?: number): MapNode => ({ kind: "map", line, entries: new Map() });

export const scalar = (value: unknown, line?: number): ScalarNode => ({
  kind: "scalar",
  line,
  value,
  variables: [],
});

/** The tree as plain values. */
export function toPlain(node: SourceNode): unknown {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(toPlain);
    case "map":
      return Object.fromEntries([...node.entries].map(([key, value]) => [key, toPlain(value)]));
  }
}

/** The line of `path`, or of the closest part of it that stands in the file. */
export function lineOf(root: SourceNode, path: Path): number | undefined {
  let node = root;
  for (const part of path) {
    const next =
      node.kind === "map"
        ? node.entries.get(part)
        : node.kind === "list"
          ? node.items[Number(part.slice(1, -1))]
          : undefined;
    if (!next) break;
    node = next;
  }
  return node.line;
}

interface Walk {
  readonly document: Document.Parsed;
  readonly lineAt: (offset: number) => number;
  aliases: number;
  readonly report: (problem: Problem) => void;
}

function toNode(node: ParsedNode, path: Path, keyLine: number | undefined, walk: Walk): SourceNode {
  const line = keyLine ?? (path.length === 0 ? undefined : walk.lineAt(node.range[0]));
  if (isScalar(node)) return scalar(node.value, line);
  if (isSeq<ParsedNode>(node)) {
    const items = node.items.map((item, index) =>
      toNode(item, [...path, `[${index}]`], undefined, walk),
    );
    return { kind: "list", line, items };
  }
  if (isMap<ParsedNode, ParsedNode | null>(node)) {
    const entries = new Map<string, SourceNode>();
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : key.toString();
      const at = walk.lineAt(key.range[0]);
      const here = [...path, name];
      const earlier = entries.get(name);
      if (earlier) {
        const message = `given twice, first on line ${earlier.line}; keep one of them`;
        walk.report({ line: at, key: keyOf(here), message });
        continue;
      }
      entries.set(name, value ? toNode(value, here, at, walk) : scalar(null, at));
    }
    return { kind: "map", line, entries };
  }
  return fromAlias(node, path, line, walk);
}

function fromAlias(node: ParsedNode, path: Path, line: number | undefined, walk: Walk): SourceNode {
  walk.aliases++;
  const target = isAlias(node) ? node.resolve(walk.document) : undefined;
  if (target && walk.aliases <= MAX_ALIASES) {
    return toNode(target as ParsedNode, path, line, walk);
  }
  const name = isAlias(node) ? node.source : "";
  const message = target
    ? `more than ${MAX_ALIASES} uses of anchors`
    : `no anchor &${name} before it; put text that starts with * in quotes`;
  walk.report({ line, key: keyOf(path), message });
  return { ...scalar(null, line), unusable: true };
}

/** The first error of each line, and of each cascade, in words that say what to do. */
function reportSyntax(
  errors: readonly YAMLError[],
  text: readonly string[],
  lineAt: (offset: number) => number,
  problems: Problem[],
): ReadonlySet<number> {
  const broken = new Set<number>();
  let lost = false;
  for (const { code, message, pos } of errors) {
    const line = lineAt(pos[0]);
    const repeated = broken.has(line) || (lost && code === "UNEXPECTED_TOKEN");
    broken.add(line);
    lost ||= code === "UNEXPECTED_TOKEN";
    if (repeated) continue;
    const advice = adviceFor(code, message, text[line - 1] ?? "") ?? message;
    problems.push({ line, key: "", message: `not valid YAML: ${advice}` });
  }
  return broken;
}

function adviceFor(code: string, message: string, line: string): string | undefined {
  if (/^Missing closing/.test(message)) return "a quote that was opened above is not closed";
  if (/^Flow .* must be/.test(message)) return "a [ or { that was opened above is not closed";
  switch (code) {
    case "TAB_AS_INDENT":
      return "a tab in the indentation; use spaces";
    case "MULTILINE_IMPLICIT_KEY":
      return `expected \`name: value\`, got \`${line.trim()}\`; is a colon or space missing?`;
    case "BAD_INDENT":
      return "the indentation fits neither the line before nor its group";
    case "BLOCK_AS_IMPLICIT_KEY":
      return "a second colon in the value; put the value in quotes";
    case "MULTIPLE_DOCS":
      return "`---` starts a second document; keep one";
    case "UNEXPECTED_TOKEN":
      return line.includes("${") ? `inside [ ] or { } write "\${NAME}" in quotes` : undefined;
    default:
      return undefined;
  }
}
