/** Which benchmarks there are, and running them one after the other. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { accept } from "./accept.ts";
import { fanout } from "./fanout.ts";
import { footprint } from "./footprint.ts";
import { overhead } from "./overhead.ts";
import { pickup } from "./pickup.ts";
import { recovery } from "./recovery.ts";
import { scheduler } from "./scheduler/run.ts";
import { type Crowd, watchCrowd } from "./tools/cpu.ts";
import { describeMachine, type Machine } from "./tools/machine.ts";
import { Skipped } from "./tools/needs.ts";
import { type Bench, isMet, type Report, reportMarkdown } from "./tools/report.ts";
import { clearStages, onOwnStage } from "./tools/stage.ts";
import { twin } from "./twin.ts";

const BENCHES: readonly Bench[] = [
  accept,
  pickup,
  overhead,
  fanout,
  footprint,
  recovery,
  twin,
  scheduler,
];
const RESULTS = join(import.meta.dirname, ".results");
const DOCUMENT = join(import.meta.dirname, "..", "docs", "benchmarks.md");
const USAGE = `bun run bench [name …] [--write]   run these benchmarks, or all
bun run bench --list               what there is
--write puts the tables into docs/benchmarks.md as well.
`;

type Outcome =
  | { readonly kind: "done"; readonly report: Report; readonly machine: Machine; crowd: Crowd }
  | { readonly kind: "skipped"; readonly why: string }
  | { readonly kind: "failed"; readonly why: string };

/** The exit code: 1 when a benchmark could not be measured, 2 for words that make no sense. */
export async function runBenches(words: readonly string[]): Promise<number> {
  const flags = words.filter((word) => word.startsWith("-"));
  const names = words.filter((word) => !word.startsWith("-"));
  const unknown = [
    ...flags.filter((flag) => flag !== "--list" && flag !== "--write"),
    ...names.filter((name) => !BENCHES.some((bench) => bench.name === name)),
  ];
  if (unknown.length > 0) {
    process.stderr.write(`There is no ${unknown.join(", ")}.\n${USAGE}${list()}`);
    return 2;
  }
  if (flags.includes("--list")) {
    process.stdout.write(list());
    return 0;
  }
  let failures = 0;
  for (const bench of BENCHES) {
    if (names.length > 0 && !names.includes(bench.name)) continue;
    const outcome = await measure(bench);
    const text = markdown(outcome);
    process.stdout.write(`## ${bench.name}\n\n${text}\n\n`);
    if (outcome.kind === "failed") failures++;
    else if (flags.includes("--write")) writeInto(DOCUMENT, bench.name, text);
    keep(bench.name, outcome);
  }
  return failures > 0 ? 1 : 0;
}

async function measure(bench: Bench): Promise<Outcome> {
  const interrupt = () => {
    void clearStages().then(() => process.exit(130));
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  process.stderr.write(`measuring ${bench.name}: ${bench.summary} ...\n`);
  try {
    const machine = describeMachine();
    const crowd = watchCrowd();
    const report = await onOwnStage((stage) => bench.run(stage));
    return { kind: "done", report, machine, crowd: crowd() };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: error instanceof Skipped ? "skipped" : "failed", why };
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

function markdown(outcome: Outcome): string {
  switch (outcome.kind) {
    case "done": {
      const { others, stolen } = outcome.crowd;
      const crowd =
        `other programs had ${(others * 100).toFixed(0)} % of the processors meanwhile` +
        (stolen >= 0.005 ? ` and the host kept ${(stolen * 100).toFixed(0)} %` : "");
      return `${reportMarkdown(outcome.report)}\n\nMeasured on ${outcome.machine.line}; ${crowd}.`;
    }
    case "skipped":
      return `skipped: it ${outcome.why}`;
    case "failed":
      return `failed: ${outcome.why}`;
  }
}

function keep(name: string, outcome: Outcome): void {
  mkdirSync(RESULTS, { recursive: true });
  const at = new Date().toISOString().replace(/[:.]/g, "-");
  const met = outcome.kind === "done" ? outcome.report.verdicts.map(isMet) : [];
  const text = JSON.stringify({ ...outcome, met }, null, 2);
  writeFileSync(join(RESULTS, `${name}-${at}.json`), `${text}\n`);
}

/** Replaces what stands between `<!-- bench:name -->` and `<!-- /bench:name -->`. */
function writeInto(path: string, name: string, text: string): void {
  const [open, close] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const before = readFileSync(path, "utf8");
  const [start, end] = [before.indexOf(open), before.indexOf(close)];
  if (start < 0 || end < start) {
    process.stderr.write(`${path} has no ${open} … ${close}; nothing was written there\n`);
    return;
  }
  const after = `${before.slice(0, start + open.length)}\n${text}\n${before.slice(end)}`;
  writeFileSync(path, after);
}

function list(): string {
  return BENCHES.map(({ name, summary }) => `${name.padEnd(10)} ${summary}\n`).join("");
}
