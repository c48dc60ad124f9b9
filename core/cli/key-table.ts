/** How the command line shows keys: never a secret, neither as text nor as hash. */
import { type KeyRow, PRESETS } from "../auth/mod.ts";
import { PROGRAM } from "./environment.ts";

const HEADINGS = ["ID", "NAME", "MAY", "STATE", "CREATED", "BY", "EXPIRES", "LAST USED"];
const MAX_CELL = 40;

export function keyTable(rows: readonly KeyRow[], nowMs: number, asJson: boolean): string {
  if (asJson)
    return `${JSON.stringify(
      rows.map((row) => toJson(row, nowMs)),
      null,
      2,
    )}\n`;
  if (rows.length === 0) {
    return `There are no keys yet. Make one with: ${PROGRAM} keys create --name <name>\n`;
  }
  const lines = [HEADINGS, ...rows.map((row) => cellsOf(row, nowMs))];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...lines.map((cells) => cells[column]?.length ?? 0)),
  );
  return lines
    .map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/** A key that was just made or changed, in a few lines. */
export function keyLines(verb: string, row: KeyRow, nowMs: number): string {
  const { previousExpiresAt: until } = row;
  const old =
    until === null || until <= nowMs
      ? "The old secret no longer works.\n"
      : `The old secret works until ${minute(until)}.\n`;
  return (
    `${verb} key ${row.id} ("${printable(row.name)}"), which may: ${rightsOf(row)}; ` +
    `expires: ${minute(row.expiresAt) || "never"}.\n${verb === "Rotated" ? old : ""}`
  );
}

function cellsOf(row: KeyRow, nowMs: number): string[] {
  const cells = [
    row.id,
    printable(row.name),
    rightsOf(row),
    stateOf(row, nowMs),
    minute(row.createdAt),
    row.createdBy ?? "",
    minute(row.expiresAt) || "never",
    minute(row.lastUsedAt) || "never",
  ];
  return cells.map((cell) => (cell.length > MAX_CELL ? `${cell.slice(0, MAX_CELL - 1)}…` : cell));
}

function toJson(row: KeyRow, nowMs: number): Record<string, unknown> {
  const iso = (timeMs: number | null) => (timeMs === null ? null : new Date(timeMs).toISOString());
  return {
    id: row.id,
    name: row.name,
    state: stateOf(row, nowMs),
    scopes: row.scopes,
    limits: {
      requests_per_minute: row.limits.requestsPerMinute ?? null,
      active_jobs: row.limits.activeJobs ?? null,
      gpu_weight: row.limits.gpuWeight ?? 1,
    },
    created_at: iso(row.createdAt),
    created_by: row.createdBy,
    expires_at: iso(row.expiresAt),
    last_used_at: iso(row.lastUsedAt),
    revoked_at: iso(row.revokedAt),
    previous_secret_until: iso(row.previousExpiresAt),
  };
}

function stateOf(
  { revokedAt, expiresAt }: KeyRow,
  nowMs: number,
): "usable" | "revoked" | "expired" {
  if (revokedAt !== null) return "revoked";
  return expiresAt !== null && expiresAt <= nowMs ? "expired" : "usable";
}

/** The preset's name where the scopes are exactly a preset's. */
function rightsOf({ scopes }: KeyRow): string {
  const preset = Object.entries(PRESETS).find(
    ([, names]) => names.length === scopes.length && names.every((name) => scopes.includes(name)),
  );
  return preset?.[0] ?? scopes.join(",");
}

/** A name may hold anything a client sent; a terminal must not obey it. */
function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}]/gu, "?");
}

const minute = (timeMs: number | null): string =>
  timeMs === null ? "" : `${new Date(timeMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
