/** What the operator says about a backend's process, and the shapes that this module insists on. */
import { createHash } from "node:crypto";

export type Run =
  | {
      readonly kind: "command";
      readonly argv: readonly string[];
      readonly cwd?: string;
      readonly env: Readonly<Record<string, string>>;
    }
  | { readonly kind: "systemd"; readonly unit: string; readonly user: boolean }
  | { readonly kind: "docker"; readonly container: string };

export interface ProcessSettings {
  readonly run: Run;
  /** `always`: kept up from the start of the gateway; `on_demand`: when work for it comes. */
  readonly start: "always" | "on_demand";
  readonly readyTimeoutMs: number;
  /** Between SIGTERM and SIGKILL. */
  readonly stopTimeoutMs: number;
  /** An idle `on_demand` process stops after this; never unless said. */
  readonly idleStopMs?: number;
  /** Whether it ends with the gateway; else the next gateway adopts it. */
  readonly stopWithGateway: boolean;
  /** More failures than this within `restartWindowMs` are a crash loop. */
  readonly maxRestarts: number;
  readonly restartWindowMs: number;
}

/** Names a file and is part of the marker in a child's environment. */
export const BACKEND_NAME = /^[a-z][a-z0-9_-]{0,63}$/;
/** systemd.unit(5): letters, digits and `:-_.\@`, with the type behind; never an option. */
export const UNIT_NAME = /^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,240}$/;
/** What Docker takes as the name or id of a container. */
export const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What is wrong with the settings, or undefined. */
export function mistakeIn(backend: string, run: Run): string | undefined {
  if (!BACKEND_NAME.test(backend)) return `"${backend}" cannot name a process: use a-z, 0-9, -`;
  switch (run.kind) {
    case "systemd":
      if (UNIT_NAME.test(run.unit)) return undefined;
      return `"${run.unit}" is not the name of a systemd unit, for example "comfyui.service"`;
    case "docker":
      if (CONTAINER_NAME.test(run.container)) return undefined;
      return `"${run.container}" is not the name of a container`;
    case "command":
      return mistakeInCommand(run);
  }
}

function mistakeInCommand({ argv, env }: Extract<Run, { kind: "command" }>): string | undefined {
  if (!argv[0]) return "the command is empty: name a program";
  if (argv.some((argument) => argument.includes("\0"))) return "an argument holds a NUL byte";
  for (const [name, value] of Object.entries(env)) {
    if (!VARIABLE_NAME.test(name)) return `"${name}" is not the name of an environment variable`;
    if (value.includes("\0")) return `the environment variable ${name} holds a NUL byte`;
  }
  return undefined;
}

/** Equal for equal settings: tells whether what runs is what is configured. No secret is in it. */
export function fingerprintOf(run: Run): string {
  const ordered = JSON.stringify(run, (_, value: unknown) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash("sha256").update(ordered).digest("hex").slice(0, 16);
}
