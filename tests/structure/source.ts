/**
 * Reads source files for the structure test: their imports, their code without words, their cycles.
 */
import { posix } from "node:path";

/** A source file; `path` is relative to the repository with `/` between its parts. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export interface Import {
  readonly from: string;
  /** A path in the repository for `./` and `../`, else the specifier as written. */
  readonly to: string;
  readonly relative: boolean;
  /** `import type`, or only `type` members: nothing of it is left at run time. */
  readonly typeOnly: boolean;
}

const STATEMENT =
  /(?:^|[\n;])\s*(?:import|export)\s+(type\s+)?(?:([^;"'()=]*?)\s+from\s+)?["']([^"'\n]+)["']/g;
const DYNAMIC = /\bimport\(\s*["']([^"'\n]+)["']/g;

export function importsOf({ path, text }: SourceFile): Import[] {
  const code = blank(text, { strings: false });
  const found = [...code.matchAll(STATEMENT)].map(([, type, names = "", specifier = ""]) =>
    resolve(path, specifier, type !== undefined || onlyTypes(names)),
  );
  const dynamic = [...code.matchAll(DYNAMIC)].map(([, to = ""]) => resolve(path, to, false));
  return [...found, ...dynamic];
}

function resolve(from: string, specifier: string, typeOnly: boolean): Import {
  const relative = specifier.startsWith(".");
  const to = relative ? posix.join(posix.dirname(from), specifier) : specifier;
  return { from, to, relative, typeOnly };
}

/** `{ type A, type B }` */
function onlyTypes(names: string): boolean {
  const inner = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
  if (inner === undefined) return false;
  const members = inner.split(",").filter((member) => member.trim() !== "");
  return members.length > 0 && members.every((member) => /^\s*type\s/.test(member));
}

const TRANSPILER = new Bun.Transpiler({ loader: "ts" });

/** What runs: no types, no comments, and nothing inside strings. */
export function runningCode(text: string): string {
  return blank(TRANSPILER.transformSync(text), { strings: true });
}

/** Source without comments and, when asked, with empty strings; templates keep their `${code}`. */
export function blank(text: string, { strings }: { readonly strings: boolean }): string {
  let out = "";
  /** Depths of `{` at which a template goes on. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at, at + 2);
    const char = text[at] ?? "";
    if (rest === "//" || rest === "/*") {
      const end = rest === "//" ? text.indexOf("\n", at) : text.indexOf("*/", at) + 2;
      at = end <= 1 ? text.length : end;
    } else if (char === '"' || char === "'") {
      const end = endOfString(text, at);
      out += strings ? char + char : text.slice(at, end);
      at = end;
    } else if (char === "/" && startsRegex(out)) {
      at = endOfRegex(text, at);
      out += "/x/";
    } else if (char === "`" || (char === "}" && templates.at(-1) === depth)) {
      if (char === "}") templates.pop();
      const end = endOfTemplate(text, at);
      out += strings ? " " : text.slice(at, end);
      if (text.startsWith("${", end - 2)) templates.push(depth);
      at = end;
    } else {
      if (char === "{") depth++;
      if (char === "}") depth--;
      out += char;
      at++;
    }
  }
  return out;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== text[start]) at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Past the closing backtick, or past the `${` of the next piece of code. */
function endOfTemplate(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== "`") {
    if (text.startsWith("${", at)) return at + 2;
    at += text[at] === "\\" ? 2 : 1;
  }
  return at + 1;
}

function startsRegex(before: string): boolean {
  const code = before.trimEnd();
  return code === "" || /[(,=:[!&|?{};+\n>]$|\breturn$/.test(code);
}

function endOfRegex(text: string, start: number): number {
  let at = start + 1;
  let inClass = false;
  while (at < text.length && (inClass || text[at] !== "/")) {
    if (text[at] === "[") inClass = true;
    if (text[at] === "]") inClass = false;
    at += text[at] === "\\" ? 2 : 1;
  }
  return at + 1;
}

/** Groups of files that reach each other, by Tarjan's algorithm; a file alone is no cycle. */
export function cyclesIn(imports: readonly Import[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const cycles: string[][] = [];

  function visit(file: string): number {
    const order = index.size;
    index.set(file, order);
    stack.push(file);
    let lowest = order;
    for (const target of next.get(file) ?? []) {
      if (!index.has(target)) lowest = Math.min(lowest, visit(target));
      else if (stack.includes(target)) lowest = Math.min(lowest, index.get(target) ?? order);
    }
    low.set(file, lowest);
    if (lowest === order) {
      const group = stack.splice(stack.indexOf(file));
      const self = next.get(file)?.includes(file) ?? false;
      if (group.length > 1 || self) cycles.push(group.sort());
    }
    return lowest;
  }
  for (const file of next.keys()) if (!index.has(file)) visit(file);
  return cycles;
}
