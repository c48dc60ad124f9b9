/** What is wrong with a configuration, and how it is told to the person who wrote it. */
import { relative } from "node:path";

export interface Problem {
  /** Line of the file, from 1; absent when it is about the whole file or the environment. */
  readonly line?: number;
  /** Path of the setting, `backends.comfyui.device`; empty for the file itself. */
  readonly key: string;
  readonly message: string;
  /** Set when an environment variable, not the file, is to blame; `key` is its name. */
  readonly origin?: "environment";
}

/** Where a value stands: map keys, and `[0]` for the first item of a list. */
export type Path = readonly string[];

export function keyOf(path: Path): string {
  return path
    .reduce((key, part) => (part.startsWith("[") ? `${key}${part}` : `${key}.${part}`), "")
    .replace(/^\./, "");
}

/** By line, those of the environment first. */
export function inOrder(problems: readonly Problem[]): readonly Problem[] {
  return [...problems].sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
}

/** One line for each problem, in the order of the file, then what to do. */
export function formatProblems(path: string, problems: readonly Problem[]): string {
  const lines = inOrder(problems).map((problem) => formatProblem(path, problem));
  const many = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  lines.push(
    `${many}. Correct and start again; config/gateway.example.yaml explains every setting.`,
  );
  return lines.join("\n");
}

/** `config/gateway.yaml:12: backends.comfyui.devise: unknown key; did you mean `device`?` */
export function formatProblem(path: string, { line, key, message, origin }: Problem): string {
  const file = displayPath(path);
  const place = origin ?? (line === undefined ? file : `${file}:${line}`);
  return key === "" ? `${place}: ${message}` : `${place}: ${key}: ${message}`;
}

function displayPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === "" || fromHere.startsWith("..") ? path : fromHere;
}
