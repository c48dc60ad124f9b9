/** What a benchmark hands back, and how it becomes Markdown. */
import type { Stage } from "./stage.ts";
import { figure } from "./statistics.ts";

export interface Table {
  readonly caption?: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** A goal and what was measured against it. */
export interface Verdict {
  readonly goal: string;
  readonly limit: number;
  /** "most": met at or below the limit; "least": at or above it. */
  readonly kind: "most" | "least";
  readonly measured: number;
  readonly unit: string;
  readonly digits?: number;
}

export interface Report {
  readonly tables: readonly Table[];
  readonly verdicts: readonly Verdict[];
  /** What was left out and why, and what a reader must know. */
  readonly notes: readonly string[];
  /** Every single figure, for bench/.results. */
  readonly raw: unknown;
}

/** One benchmark: `run` may fail; the stage is cleared by the caller either way. */
export interface Bench {
  readonly name: string;
  readonly summary: string;
  run(stage: Stage): Promise<Report>;
}

export function isMet({ kind, measured, limit }: Verdict): boolean {
  return kind === "most" ? measured <= limit : measured >= limit;
}

export function reportMarkdown({ tables, verdicts, notes }: Report): string {
  const blocks = tables.map(tableMarkdown);
  if (verdicts.length > 0) blocks.push(tableMarkdown(verdictTable(verdicts)));
  if (notes.length > 0) blocks.push(notes.map((note) => `- ${note}`).join("\n"));
  return blocks.join("\n\n");
}

function verdictTable(verdicts: readonly Verdict[]): Table {
  return {
    head: ["goal", "wanted", "measured", "met"],
    rows: verdicts.map((verdict) => [
      verdict.goal,
      `${verdict.kind === "most" ? "at most" : "at least"} ${withUnit(verdict, verdict.limit)}`,
      withUnit(verdict, verdict.measured),
      isMet(verdict) ? "yes" : "**no**",
    ]),
  };
}

function withUnit({ unit, digits = 0 }: Verdict, value: number): string {
  return unit === "" ? figure(value, digits) : `${figure(value, digits)} ${unit}`;
}

function tableMarkdown({ caption, head, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, index) => (index === 0 ? "---" : "---:")).join("|")}|`;
  const table = [line(head), rule, ...rows.map(line)].join("\n");
  return caption === undefined ? table : `${caption}\n\n${table}`;
}
