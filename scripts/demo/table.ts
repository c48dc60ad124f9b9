/** The demo's live table: devices, the models on them, what runs, and who waits for what. */
import { setTimeout as delay } from "node:timers/promises";
import type { Static } from "@sinclair/typebox";
import type { JobWire } from "../../core/jobs/schema.ts";
import type { vramSchema } from "../../core/vram/schema.ts";
import type { Demo } from "./yard.ts";

type Vram = Static<typeof vramSchema>;
type Device = Vram["devices"][number];

interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

interface Counts {
  readonly sent: number;
  readonly refused: number;
}

const REFRESH_MS = 500;
/** Where lines only follow each other, as in a file. */
const PLAIN_REFRESH_MS = 5_000;
const MAX_WAITING = 12;
const BAR = 40;

/** Until the signal; drawn in place on a terminal. */
export async function showTable(
  demo: Demo,
  counts: () => Counts,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  const isTerminal = screen.isTTY === true;
  // The alternate screen, so that the invitation is there again at the end.
  if (isTerminal) screen.write("\x1b[?1049h\x1b[?25l");
  try {
    while (!signal.aborted) {
      const text = await look(demo, counts()).catch(() => "The gateway does not answer.\n");
      screen.write(isTerminal ? `\x1b[H${text.replaceAll("\n", "\x1b[K\n")}\x1b[J` : `${text}\n`);
      const pauseMs = isTerminal ? REFRESH_MS : PLAIN_REFRESH_MS;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    if (isTerminal) screen.write("\x1b[?25h\x1b[?1049l");
  }
}

async function look(demo: Demo, { sent, refused }: Counts): Promise<string> {
  const [vram, running, waiting] = await Promise.all([
    demo.ask<Vram>("GET", "/vram"),
    demo.ask<{ items: JobWire[] }>("GET", "/jobs?status=running&limit=10"),
    demo.ask<{ items: JobWire[] }>("GET", "/jobs?status=pending&limit=100"),
  ]);
  const jobs = `${sent} jobs sent${refused > 0 ? `, ${refused} refused` : ""}`;
  return [
    `Switchyard demo   ${demo.url}   policy ${vram.data.policy}   ${jobs}   Ctrl-C ends it`,
    "",
    ...vram.data.devices.flatMap(deviceLines),
    ...jobLines("Running", running.data.items, progressOf),
    ...jobLines("Waiting", waiting.data.items, (job) => job.queue?.wait_reason ?? ""),
    "",
  ].join("\n");
}

function deviceLines(device: Device): string[] {
  const { name, product, total_mib, used_mib, limit_mib, foreign_mib, residents } = device;
  const total = total_mib ?? limit_mib ?? 0;
  const filled = total > 0 ? Math.min(BAR, Math.round((BAR * (used_mib ?? 0)) / total)) : 0;
  const bar = "█".repeat(filled) + "·".repeat(BAR - filled);
  const foreign = foreign_mib > 0 ? `, ${mib(foreign_mib)} of others` : "";
  return [
    `${name}  ${product ?? ""}`,
    `  ${bar} ${mib(used_mib ?? 0)} of ${mib(total)} used${foreign}`,
    "",
    row("  BACKEND", "MODEL", "STATE", "MEMORY", "JOBS NOW", "SINCE LOAD"),
    ...residents.map((it) =>
      row(
        `  ${it.backend}`,
        it.model,
        it.state,
        mib(it.resident_mib),
        String(it.running),
        String(it.served),
      ),
    ),
    ...(residents.length === 0 ? ["  no model is loaded"] : []),
    "",
  ];
}

function jobLines(
  title: string,
  items: readonly JobWire[],
  detail: (job: JobWire) => string,
): string[] {
  const place = ({ queue, created_at }: JobWire): number =>
    queue?.position ?? Date.parse(created_at);
  const jobs = items.toSorted((one, other) => place(one) - place(other));
  const lines = jobs.slice(0, MAX_WAITING).map((job) => {
    const seconds = `${Math.round((Date.now() - Date.parse(job.created_at)) / 1_000)} s`;
    const what = `${job.backend} ${job.model ?? job.input.workflow ?? job.capability}`;
    return `  ${job.job_id.slice(-6)}  ${cell(what, 44)} ${seconds.padStart(6)}  ${detail(job)}`;
  });
  const more = jobs.length > MAX_WAITING ? [`  and ${jobs.length - MAX_WAITING} more`] : [];
  return [`${title} (${jobs.length})`, ...lines, ...more, ""];
}

function progressOf({ progress, phase }: JobWire): string {
  const { value, note } = progress ?? {};
  const percent = typeof value === "number" ? `${Math.round(100 * value)} %` : phase;
  return [percent, note].filter(Boolean).join("  ");
}
function row(...cells: string[]): string {
  const widths = [12, 34, 10, 12, 10, 10];
  return cells.map((text, index) => cell(text, widths[index] ?? 10)).join(" ");
}

const cell = (text: string, width: number): string =>
  (text.length > width ? `${text.slice(0, width - 1)}…` : text).padEnd(width);

const mib = (amount: number): string => `${Math.round(amount).toLocaleString("en")} MiB`;
