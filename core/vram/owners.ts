/** Whose processes are which: looked up now and then, and again whenever a backend has changed. */
import type { BackendPort } from "./ports.ts";

export interface Owners {
  /** As of the last look; [] when nobody can tell. */
  pids(backend: string): readonly number[];
  /** The backend whose process this is, as far as anybody can tell. */
  ownerOf(pid: number): string | undefined;
  /** Whether its processes were looked up after its last change. */
  isCurrent(backend: string): boolean;
  /** Monotonic milliseconds of its last change; -Infinity when there was none. */
  changedAtMs(backend: string): number;
  /** A model came or went, or its process did: it may have other processes now. */
  changed(backend: string): void;
  /** Looks now, for one backend or for all. */
  refresh(backend?: string): Promise<void>;
  close(): void;
}

export interface OwnersOptions {
  readonly backends: readonly BackendPort[];
  readonly nowMs: () => number;
  /** Whether anybody measures its processes; else they are not looked for. */
  readonly isMeasured: (backend: string) => boolean;
  /** Some were looked up again. */
  readonly refreshed: () => void;
}

/** Changes of this long are answered together. */
const GATHER_MS = 500;

export function createOwners({ backends, nowMs, isMeasured, refreshed }: OwnersOptions): Owners {
  const ports = new Map(backends.map((port) => [port.name, port]));
  const known = new Map<string, { readonly pids: readonly number[]; readonly asOfMs: number }>();
  const changes = new Map<string, number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  async function look(names: Iterable<string>): Promise<void> {
    await Promise.all(
      [...names].map(async (name) => {
        const asOfMs = nowMs();
        const port = isMeasured(name) ? ports.get(name) : undefined;
        const pids = (await port?.pids().catch(() => [])) ?? [];
        known.set(name, { pids, asOfMs });
      }),
    );
  }

  const isCurrent = (backend: string): boolean =>
    (known.get(backend)?.asOfMs ?? -Infinity) > (changes.get(backend) ?? -Infinity);

  return {
    pids: (backend) => known.get(backend)?.pids ?? [],
    ownerOf: (pid) => [...known].find(([, { pids }]) => pids.includes(pid))?.[0],
    isCurrent,
    changedAtMs: (backend) => changes.get(backend) ?? -Infinity,
    changed(backend) {
      if (!ports.has(backend)) return;
      changes.set(backend, nowMs());
      if (closed) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        void look([...ports.keys()].filter((name) => !isCurrent(name))).then(refreshed);
      }, GATHER_MS);
    },
    refresh: (backend) => look(backend === undefined ? ports.keys() : [backend]),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
