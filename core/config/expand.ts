/**
 * Replaces `${NAME}` and `${NAME:-default}` in text values by the environment. It works on the
 * parsed tree, so a value can never add a line or a key to the file. `$${` stands for `${`.
 */
import { readFileSync } from "node:fs";
import { keyOf, type Path, type Problem } from "./problems.ts";
import type { ScalarNode, SourceNode, Variable } from "./source.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const PLACE = /\$(\$\{)|\$\{([^}]*)(\}?)/g;
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

type Report = (problem: Problem) => void;

export function expand(
  node: SourceNode,
  env: Environment,
  report: Report,
  path: Path = [],
): SourceNode {
  switch (node.kind) {
    case "map": {
      const entries = [...node.entries].map(
        ([key, value]) => [key, expand(value, env, report, [...path, key])] as const,
      );
      return { ...node, entries: new Map(entries) };
    }
    case "list": {
      const items = node.items.map((item, index) =>
        expand(item, env, report, [...path, `[${index}]`]),
      );
      return { ...node, items };
    }
    case "scalar":
      return typeof node.value === "string"
        ? expandText(node, node.value, env, report, path)
        : node;
  }
}

function expandText(
  node: ScalarNode,
  text: string,
  env: Environment,
  report: Report,
  path: Path,
): ScalarNode {
  const variables: Variable[] = [];
  let unusable: true | undefined;
  const value = text.replace(PLACE, (place, escaped, inside = "", end) => {
    if (escaped) return "${";
    const [, name, fallback] = (end && INSIDE.exec(inside)) || [];
    const tell = (message: string): string => {
      report({ line: node.line, key: keyOf(path), message });
      unusable = true;
      return place;
    };
    if (name === undefined) {
      return tell(
        `\`${place}\` is neither \${NAME} nor \${NAME:-default}; write $\${ for the characters \${`,
      );
    }
    const found = lookUp(name, env);
    if ("problem" in found) return tell(found.problem);
    // As in a shell, `:-` also replaces an empty value.
    const given = fallback !== undefined && found.value === "" ? undefined : found.value;
    if (given === undefined && fallback === undefined) {
      return tell(
        `the environment variable ${name} is not set; set it, or write \${${name}:-default}`,
      );
    }
    variables.push({ name, value: given });
    return given ?? fallback ?? "";
  });
  return { ...node, value, variables, ...(unusable && { unusable }) };
}

/** `NAME`, or the content of the file that `NAME_FILE` names, as containers hand over secrets. */
function lookUp(
  name: string,
  env: Environment,
): { value: string | undefined } | { problem: string } {
  const file = env[`${name}_FILE`];
  if (env[name] !== undefined || !file) return { value: env[name] };
  try {
    return { value: readFileSync(file, "utf8").replace(/\r?\n$/, "") };
  } catch {
    return { problem: `the file that ${name}_FILE names cannot be read: ${file}` };
  }
}
