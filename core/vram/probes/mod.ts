/**
 * Opens the probes of all configured devices. Nothing here fails the start of the gateway: what
 * cannot be measured is `missing` and says why.
 */
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { Wanted } from "./assignment.ts";
import { type Cell, createCell, NO_PROBE } from "./cell.ts";
import type { Environment } from "./child.ts";
import { openCommand } from "./command.ts";
import type { Source } from "./loop.ts";
import {
  type DeviceProbeSettings,
  PROBE_LIMITS,
  type Probe,
  type ProbeLimits,
  staleAfterMs,
  type Tool,
} from "./probe.ts";
import { openSimulated } from "./simulated.ts";
import { lookIntervalMs, openTool, type ToolSource } from "./tools.ts";

export { NOT_YET } from "./cell.ts";
export {
  type DeviceProbeSettings,
  type DeviceReading,
  type Probe,
  ProbeError,
  type ProbeLimits,
  type ProbeState,
  type ProcessReading,
} from "./probe.ts";
export { type Allocation, allocate, describeDevice } from "./simulated.ts";

export interface OpenProbesOptions {
  readonly devices: Readonly<Record<string, DeviceProbeSettings>>;
  readonly clock: Clock;
  readonly log: Log;
  /** The tools are found through its PATH. */
  readonly env: Environment;
  readonly limits?: Partial<ProbeLimits>;
}

type Entry = readonly [device: string, settings: DeviceProbeSettings];
type Found = readonly [device: string, probe: Probe];

interface Context {
  readonly clock: Clock;
  readonly log: Log;
  readonly env: Environment;
  readonly limits: ProbeLimits;
}

const TOOLS: readonly Tool[] = ["nvidia-smi", "amd-smi", "rocm-smi"];

/** The probes by device, in the order of the configuration; first answers are awaited, with a limit. */
export async function openProbes(options: OpenProbesOptions): Promise<ReadonlyMap<string, Probe>> {
  const { devices, clock, log, env } = options;
  const context = { clock, log, env, limits: { ...PROBE_LIMITS, ...options.limits } };
  const entries = Object.entries(devices);
  const listed = entries.filter(([, settings]) => listedBy(settings) !== undefined);
  const hosts = Map.groupBy(listed, ([, { via = [] }]) => JSON.stringify(via));
  const found = await Promise.all([
    ...[...hosts.values()].map((host) => openHost(host, context)),
    ...entries.filter((entry) => !listed.includes(entry)).map((entry) => openOne(entry, context)),
  ]);
  const probes = new Map(found.flat());
  return new Map(
    entries.flatMap(([device]) => {
      const probe = probes.get(device);
      return probe === undefined ? [] : [[device, probe] as const];
    }),
  );
}

/** Which tool lists the device, where one does. */
function listedBy({ probe, command }: DeviceProbeSettings): Tool | "auto" | undefined {
  return command !== undefined || probe === "simulated" || probe === "none" ? undefined : probe;
}

/** A device with a probe of its own, or none. */
async function openOne([device, settings]: Entry, context: Context): Promise<readonly Found[]> {
  const { clock, limits } = context;
  const { command, intervalMs, memoryMiB, simulated, via = [] } = settings;
  if (command !== undefined) {
    const cell = cellOf(device, "command", intervalMs, context);
    const source = openCommand({ ...context, cell, argv: [...via, ...command], intervalMs });
    cell.connect(source);
    await inTime(source.first, limits.openMs);
    return [[device, cell.probe]];
  }
  if (settings.probe !== "simulated") return [declared(device, NO_PROBE, context)];
  if (simulated === undefined) {
    return [declared(device, "no probe: a simulated device needs its folder", context)];
  }
  const cell = cellOf(device, "simulated", intervalMs, context);
  const size = memoryMiB === undefined ? {} : { memoryMiB };
  const source = openSimulated({ cell, folder: simulated, intervalMs, clock, ...size });
  cell.connect(source);
  await inTime(source.first, limits.openMs);
  return [[device, cell.probe]];
}

/** The devices of one host that tools list: one process a tool, `auto` by the first that works. */
async function openHost(entries: readonly Entry[], context: Context): Promise<readonly Found[]> {
  const chosen = await chooseTool(entries, context);
  const rest = TOOLS.filter((tool) => tool !== chosen.tool).map(async (tool) => {
    const own = entries.filter(([, settings]) => listedBy(settings) === tool);
    if (own.length === 0) return [];
    const opened = openShared(tool, own, context);
    await inTime(opened.source.first, context.limits.openMs);
    return opened.found;
  });
  return [...chosen.found, ...(await Promise.all(rest)).flat()];
}

interface Chosen {
  readonly tool?: Tool;
  readonly found: readonly Found[];
}

async function chooseTool(entries: readonly Entry[], context: Context): Promise<Chosen> {
  const auto = entries.filter(([, settings]) => listedBy(settings) === "auto");
  if (auto.length === 0) return { found: [] };
  const reasons: string[] = [];
  let broken: Tool | undefined;
  for (const tool of TOOLS) {
    const trial = { isChosen: false };
    const log = hushed(context.log, trial);
    const opened = openShared(tool, membersOf(entries, tool), { ...context, log });
    const trouble = await inTime(opened.source.first, context.limits.openMs);
    trial.isChosen = trouble === undefined;
    if (trial.isChosen) return { tool, found: opened.found };
    await Promise.all(opened.found.map(([, probe]) => probe.close()));
    reasons.push(trouble?.reason ?? "");
    if (trouble?.installed) broken ??= tool;
  }
  // Installed but not working: a driver that is loaded later, or comes back from a reset.
  if (broken !== undefined) {
    const { found } = openShared(broken, membersOf(entries, broken), context);
    return { tool: broken, found };
  }
  const reason = `no probe: ${reasons.join("; ")}`;
  return { found: auto.map(([device]) => declared(device, reason, context)) };
}

/** A tool that is only tried out warns nobody. */
function hushed(log: Log, trial: { readonly isChosen: boolean }): Log {
  return {
    ...log,
    warn: (message, fields) => log[trial.isChosen ? "warn" : "debug"](message, fields),
  };
}

function membersOf(entries: readonly Entry[], tool: Tool): readonly Entry[] {
  return entries.filter(([, settings]) => ["auto", tool].includes(listedBy(settings) ?? ""));
}

interface Opened {
  readonly source: ToolSource;
  readonly found: readonly Found[];
}

function openShared(tool: Tool, entries: readonly Entry[], context: Context): Opened {
  const fastestMs = Math.min(...entries.map(([, { intervalMs }]) => intervalMs));
  const intervalMs = lookIntervalMs(tool, fastestMs);
  const wanted = entries.map(([device, { id }]): Wanted => {
    const cell = cellOf(device, tool, intervalMs, context);
    return id === undefined ? { cell } : { cell, id };
  });
  const via = entries[0]?.[1].via ?? [];
  const source = openTool({ ...context, tool, wanted, via, intervalMs });
  share(
    source,
    wanted.map(({ cell }) => cell),
  );
  return { source, found: wanted.map(({ cell }) => [cell.device, cell.probe]) };
}

/** The process ends with the last device that uses it. */
function share(source: Source, cells: readonly Cell[]): void {
  let users = cells.length;
  for (const cell of cells) {
    cell.connect({
      hurry: source.hurry,
      async close() {
        users--;
        if (users === 0) await source.close();
      },
    });
  }
}

function declared(device: string, reason: string, context: Context): Found {
  const cell = createCell({ device, kind: "declared", staleMs: 0, ...context });
  cell.publish({ kind: "missing", reason }, context.clock.monotonicMs());
  return [device, cell.probe];
}

function cellOf(device: string, kind: Probe["kind"], intervalMs: number, context: Context): Cell {
  const staleMs = staleAfterMs(intervalMs, context.limits);
  return createCell({ device, kind, staleMs, ...context });
}

/** What the promise settles with, or undefined when that takes longer than the limit. */
async function inTime<T>(promise: Promise<T>, limitMs: number): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), limitMs);
  });
  const first = await Promise.race([promise, late]);
  clearTimeout(timer);
  return first;
}
