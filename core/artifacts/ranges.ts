/** Conditional and partial requests (RFC 9110 sections 13 and 14). Pure: no byte is read. */
import type { ByteRange } from "./blobs.ts";

export type RangeDecision =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly range: ByteRange }
  | { readonly kind: "unsatisfiable" };

const WHOLE: RangeDecision = { kind: "whole" };
const UNSATISFIABLE: RangeDecision = { kind: "unsatisfiable" };
const SINGLE = /^bytes\s*=\s*(?:(\d+)\s*-\s*(\d*)|-\s*(\d+))$/i;

/** Several ranges, another unit and nonsense are ignored, as the RFC allows: the whole is sent. */
export function decideRange(header: string | null, sizeBytes: number): RangeDecision {
  const [, from, to, suffix] = SINGLE.exec(header?.trim() ?? "") ?? [];
  if (suffix !== undefined) {
    const wanted = Math.min(Number(suffix), sizeBytes);
    if (wanted === 0) return UNSATISFIABLE;
    return { kind: "part", range: { first: sizeBytes - wanted, last: sizeBytes - 1 } };
  }
  if (from === undefined) return WHOLE;
  const first = Number(from);
  const last = to ? Math.min(Number(to), sizeBytes - 1) : sizeBytes - 1;
  if (to && Number(to) < first) return WHOLE;
  return first >= sizeBytes ? UNSATISFIABLE : { kind: "part", range: { first, last } };
}

/** What identifies a stored version: its strong tag (quoted) and its second of creation. */
export interface Version {
  readonly etag: string;
  readonly modifiedAtMs: number;
}

/** Whether the client already has this version, so that 304 is the answer. */
export function isUnchanged(headers: Headers, { etag, modifiedAtMs }: Version): boolean {
  const tags = headers.get("if-none-match");
  if (tags !== null) {
    return tags.split(",").some((tag) => [etag, "*"].includes(tag.trim().replace(/^W\//, "")));
  }
  const since = Date.parse(headers.get("if-modified-since") ?? "");
  return seconds(modifiedAtMs) <= seconds(since);
}

/** Whether a Range header counts: If-Range must name exactly this version. */
export function mayResume(headers: Headers, { etag, modifiedAtMs }: Version): boolean {
  const condition = headers.get("if-range");
  if (condition === null || condition.trim() === etag) return true;
  return seconds(Date.parse(condition)) === seconds(modifiedAtMs);
}

/** HTTP dates count seconds. NaN stays NaN, which equals nothing. */
const seconds = (timeMs: number) => Math.floor(timeMs / 1000);
