/**
 * The tools that list a machine's devices. Several configured devices share one process of them.
 *
 * nvidia-smi runs as `nvidia-smi -q -x --loop-ms=N`. This is the only form in which one process
 * gives both memory and processes with a visible end: `--query-gpu` and `--query-compute-apps` are
 * two processes, the second knows no graphics processes (a game) and prints nothing at all while
 * there are none, and `-d MEMORY,PIDS`, which would shorten the text, "Doesn't work with -u or -x
 * flags" (nvidia-smi --help). netdata reads the same loop, cut at </nvidia_smi_log>. XML costs the
 * driver more than CSV (netdata issue 10362), so N has a floor.
 *
 * AMD's tools have no loop with a visible end in JSON: they are started for each look, and because
 * they are Python programs no more often than every two seconds.
 */
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import { createAssignment, type Wanted } from "./assignment.ts";
import type { Environment } from "./child.ts";
import { type Source, startLoop, type Trouble } from "./loop.ts";
import type { Parsed } from "./measured.ts";
import { parseAmdSmi } from "./parse-amd-smi.ts";
import { NVIDIA_END, parseNvidia } from "./parse-nvidia.ts";
import { parseRocmSmi } from "./parse-rocm-smi.ts";
import { type Look, type Printed, runOnce, startPolling } from "./poll.ts";
import { type ProbeLimits, staleAfterMs, type Tool } from "./probe.ts";

export interface ToolOptions {
  readonly tool: Tool;
  readonly wanted: readonly Wanted[];
  readonly via: readonly string[];
  readonly intervalMs: number;
  readonly env: Environment;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ProbeLimits;
}

export interface ToolSource extends Source {
  /** Settles with the first answer: undefined when devices were listed, else what went wrong. */
  readonly first: Promise<Trouble | undefined>;
}

/** A floor against an interval that would keep a core and the driver busy with looking alone. */
export const MIN_NVIDIA_INTERVAL_MS = 100;
export const MIN_AMD_INTERVAL_MS = 2_000;

/** How often a tool really looks. */
export function lookIntervalMs(tool: Tool, intervalMs: number): number {
  return Math.max(
    tool === "nvidia-smi" ? MIN_NVIDIA_INTERVAL_MS : MIN_AMD_INTERVAL_MS,
    Math.round(intervalMs),
  );
}

export function openTool(options: ToolOptions): ToolSource {
  const { tool, wanted, clock, log } = options;
  const assignment = createAssignment(tool, wanted, clock);
  let settle: (trouble: Trouble | undefined) => void = () => {};
  const first = new Promise<Trouble | undefined>((resolve) => {
    settle = resolve;
  });
  let complained = false;
  const report: Report = {
    trouble(trouble, sinceMs) {
      assignment.missing(trouble.reason, sinceMs);
      settle(trouble);
    },
    parsed(parsed, sinceMs) {
      if (parsed.kind === "devices") {
        complained = false;
        assignment.publish(parsed.devices, sinceMs);
        settle(undefined);
        return true;
      }
      // Once until it is readable again, not with every look.
      if (!complained) log.warn(`${tool} printed what it should not`, { reason: parsed.reason });
      complained = true;
      const trouble = { installed: true, reason: `${tool} is unreadable: ${parsed.reason}` };
      report.trouble(trouble, sinceMs);
      return false;
    },
  };
  const start = { "nvidia-smi": nvidia, "amd-smi": amd, "rocm-smi": rocm }[tool];
  return { ...start(options, report), first };
}

interface Report {
  parsed(parsed: Parsed, sinceMs: number): boolean;
  trouble(trouble: Trouble, sinceMs: number): void;
}

function nvidia({ via, env, clock, limits, ...options }: ToolOptions, report: Report): Source {
  const intervalMs = lookIntervalMs("nvidia-smi", options.intervalMs);
  return startLoop({
    // Through ssh without a terminal, the far end dies of its next write when ssh is gone.
    argv: [...via, "nvidia-smi", "-q", "-x", `--loop-ms=${intervalMs}`],
    env,
    clock,
    limits,
    staleMs: staleAfterMs(intervalMs, limits),
    pauseMs: intervalMs,
    endMark: NVIDIA_END,
    onPiece: (text, sinceMs) => report.parsed(parseNvidia(text), sinceMs),
    onTrouble: (trouble, sinceMs) => report.trouble(trouble, sinceMs),
  });
}

const ROCM_ARGUMENTS =
  "--showmeminfo vram --showuse --showuniqueid --showbus --showproductname --showpids --json";

function rocm({ via, env, clock, limits, ...options }: ToolOptions, report: Report): Source {
  const argv = [...via, "rocm-smi", ...ROCM_ARGUMENTS.split(" ")];
  const look: Look = async (signal) => {
    const sinceMs = clock.monotonicMs();
    const printed = await runOnce(argv, env, limits.firstMs, signal);
    if (signal.aborted) return false;
    if (printed.kind === "text") return report.parsed(parseRocmSmi(printed.text), sinceMs);
    report.trouble(printed.trouble, sinceMs);
    return false;
  };
  return startPolling(look, lookIntervalMs("rocm-smi", options.intervalMs), limits);
}

function amd({ via, env, clock, limits, ...options }: ToolOptions, report: Report): Source {
  const ask = (signal: AbortSignal, ...args: readonly string[]): Promise<Printed> =>
    runOnce([...via, "amd-smi", ...args, "--json"], env, limits.firstMs, signal);
  let list: string | undefined;
  const look: Look = async (signal) => {
    const sinceMs = clock.monotonicMs();
    const metric = await ask(signal, "metric", "--mem-usage", "--usage");
    if (signal.aborted) return false;
    if (metric.kind === "trouble") {
      // After a driver reset the same index may be another card.
      list = undefined;
      report.trouble(metric.trouble, sinceMs);
      return false;
    }
    if (list === undefined) {
      const listed = await ask(signal, "list");
      list = listed.kind === "text" ? listed.text : undefined;
    }
    const processes = await ask(signal, "process");
    if (signal.aborted) return false;
    const parsed = parseAmdSmi({
      metric: metric.text,
      ...(list === undefined ? {} : { list }),
      ...(processes.kind === "text" ? { processes: processes.text } : {}),
    });
    return report.parsed(parsed, sinceMs);
  };
  return startPolling(look, lookIntervalMs("amd-smi", options.intervalMs), limits);
}
