/** The arrival times of the two public traces in bench/traces, in ms from the first request. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname, "..", "traces");

/** 19,366 requests in 3,502 s: gaps of a CV of 1.09. */
export function azureTimestampsMs(): number[] {
  return parseAzure(readFileSync(join(FOLDER, "azure_conv.csv"), "utf8"));
}

/** 12,031 requests in 3,537 s: gaps of a CV of 3.0, many requests sharing a timestamp. */
export function mooncakeTimestampsMs(): number[] {
  return parseMooncake(readFileSync(join(FOLDER, "mooncake_conv.jsonl"), "utf8"));
}

/** A CSV whose first column is a time with 7 fractional digits and no zone, taken as UTC. */
export function parseAzure(text: string): number[] {
  const times = text
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => Date.parse(`${line.slice(0, 23).replace(" ", "T")}Z`));
  const first = times[0] ?? 0;
  return times.map((at) => at - first);
}

/** One JSON object a line, `timestamp` being milliseconds from the trace's start. */
export function parseMooncake(text: string): number[] {
  const times = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as { timestamp: number }).timestamp);
  const first = times[0] ?? 0;
  return times.map((at) => at - first);
}
