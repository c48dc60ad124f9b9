/** What a gateway leaves on disk about a process it started, for the gateway after it. */
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { BACKEND_NAME, mistakeIn, type Run } from "./settings.ts";

export type ProcessRecord = {
  readonly fingerprint: string;
  /** It was ready once: a successor needs no health answer, which a busy server may not give. */
  readonly ready: boolean;
} & (
  | {
      readonly kind: "command";
      readonly pid: number;
      readonly startedAt: string;
      readonly bootId: string;
      readonly stopTimeoutMs: number;
    }
  | { readonly kind: "tool"; readonly run: Exclude<Run, { kind: "command" }> }
);

export interface Records {
  names(): readonly string[];
  read(backend: string): ProcessRecord | undefined;
  write(backend: string, record: ProcessRecord): void;
  remove(backend: string): void;
}

export function createRecords(folder: string): Records {
  const pathOf = (backend: string) => join(folder, `${backend}.pid`);
  return {
    names() {
      return readdirSync(folder)
        .filter((name) => name.endsWith(".pid"))
        .map((name) => name.slice(0, -".pid".length))
        .filter((name) => BACKEND_NAME.test(name));
    },
    read(backend) {
      try {
        return parsed(backend, readFileSync(pathOf(backend), "utf8"));
      } catch {
        return undefined;
      }
    },
    // Synchronous: between the spawn and this, nothing else of the gateway may run.
    write(backend, record) {
      const path = pathOf(backend);
      const descriptor = openSync(`${path}.new`, "w", 0o600);
      try {
        writeSync(descriptor, JSON.stringify(record));
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(`${path}.new`, path);
    },
    remove: (backend) => rmSync(pathOf(backend), { force: true }),
  };
}

/** A file can be torn or edited, and a number in it becomes the target of a signal. */
function parsed(backend: string, text: string): ProcessRecord | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, fingerprint, ready, pid, startedAt, bootId, stopTimeoutMs, run } = value as Record<
    string,
    unknown
  >;
  if (typeof fingerprint !== "string" || typeof ready !== "boolean") return undefined;
  if (kind === "tool") {
    const named = toolIn(run);
    if (!named || mistakeIn(backend, named) !== undefined) return undefined;
    return { kind, fingerprint, ready, run: named };
  }
  if (kind !== "command" || !Number.isSafeInteger(pid) || Number(pid) <= 1) return undefined;
  if (typeof startedAt !== "string" || startedAt === "" || typeof bootId !== "string") {
    return undefined;
  }
  if (typeof stopTimeoutMs !== "number") return undefined;
  return { kind, fingerprint, ready, pid: Number(pid), startedAt, bootId, stopTimeoutMs };
}

function toolIn(run: unknown): Exclude<Run, { kind: "command" }> | undefined {
  if (typeof run !== "object" || run === null) return undefined;
  const { kind, unit, user, container } = run as Record<string, unknown>;
  if (kind === "docker" && typeof container === "string") return { kind, container };
  if (kind === "systemd" && typeof unit === "string") return { kind, unit, user: user === true };
  return undefined;
}
