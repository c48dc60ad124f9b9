/** How `calibrate` shows what was learned, and says what could not be. */
import type { DeviceRow } from "./calibrate-gateway.ts";
import type { Trial } from "./calibrate-trial.ts";

export interface Result {
  readonly backend: string;
  readonly capability: string;
  readonly trial: Trial & { kind: "measured" };
}

const HEADINGS = [
  ...["BACKEND", "CAPABILITY", "MODEL", "RESIDENT MiB", "WORKING MiB", "LOAD s", "RUN s"],
  ...["SAMPLES", "BEFORE"],
];
const UNKNOWN = "-";
const MAX_CELL = 44;

export function calibrationTable(results: readonly Result[]): string {
  const lines = [HEADINGS, ...results.map(cellsOf)];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...lines.map((cells) => cells[column]?.length ?? 0)),
  );
  const table = lines
    .map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
  return (
    `${table}\nSAMPLES: measurements of resident, working, load and run, all there ever were.\n` +
    "BEFORE: what the gateway reckoned with until now, resident + working MiB, and whose word " +
    "that was.\n"
  );
}

/** What the table cannot say. */
export function remarks(results: readonly Result[], devices: readonly DeviceRow[]): string[] {
  const used = new Set(results.map(({ trial }) => trial.device));
  const blind = devices.filter(({ name }) => used.has(name)).flatMap(blindness);
  const own = results.flatMap(({ backend, trial }) => {
    const name = `${backend}/${trial.model}`;
    const isBlind = blind.some(({ device }) => device === trial.device);
    return [...trial.notes, ...(isBlind ? [] : gapsOf(trial))].map((note) => `${name}: ${note}.`);
  });
  return [...blind.map(({ text }) => text), ...new Set(own)];
}

function blindness({ name, probe, processes }: DeviceRow) {
  const consequence = "so no memory could be measured; only times were learned.";
  if (probe.state !== "reading") {
    const why = probe.reason ?? "no probe";
    return [{ device: name, text: `${name} cannot be measured (${why}), ${consequence}` }];
  }
  if (processes !== null) return [];
  const text = `${name}: ${probe.kind} shows no processes (in a container, for example), ${consequence}`;
  return [{ device: name, text }];
}

function gapsOf({ cost }: Result["trial"]): string[] {
  const resident = "no resident size: its processes are not known, or it held more than one model";
  const working = "no working memory: its runs were over before the probe looked";
  return [
    ...(cost?.samples.resident ? [] : [resident]),
    ...(cost?.samples.working ? [] : [working]),
  ];
}

function cellsOf({ backend, capability, trial: { model, cost, before } }: Result): string[] {
  const { resident = 0, working = 0, load = 0, run = 0 } = cost?.samples ?? {};
  const cells = [
    backend,
    capability,
    model,
    mib(cost?.resident_mib),
    mib(cost?.working_mib),
    seconds(cost?.load_ms),
    seconds(cost?.run_ms),
    `${resident}/${working}/${load}/${run}`,
    `${mib(before.resident_mib)} + ${mib(before.working_mib)} ${before.source}`,
  ];
  return cells.map((cell) => (cell.length > MAX_CELL ? `${cell.slice(0, MAX_CELL - 1)}…` : cell));
}

const mib = (value: number | null | undefined): string =>
  value === null || value === undefined ? UNKNOWN : String(Math.round(value));

const seconds = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? UNKNOWN : (ms / 1_000).toFixed(ms < 10_000 ? 2 : 1);
