/** The ledger as operators read it: devices, processes, residents, leases, and who waits. */

import type { EventMap } from "../events/mod.ts";
import type { Granted } from "./admission.ts";
import type { ExternalLease } from "./leases.ts";
import { type Device, freeMiB, headOf, type Place } from "./ledger.ts";
import type { ProcessPort } from "./ports.ts";
import type { Happened } from "./recent.ts";
import type { Vram } from "./vram.ts";

export interface Surroundings {
  /** From monotonic milliseconds to a wall-clock time. */
  readonly iso: (monotonicMs: number) => string;
  /** Whether the job has ended for its client, so that only its lease is left. */
  readonly isOrphan: (jobId: string) => boolean;
  /** Whether the key may see a server's own log lines, which may name folders of the machine. */
  readonly isOperator: boolean;
}

/** Everything of GET /vram. */
export function vramToWire(vram: Vram, surroundings: Surroundings) {
  const { iso, isOperator } = surroundings;
  return {
    policy: vram.policy.name,
    devices: [...vram.devices.values()].map((device) => deviceToWire(device, vram, surroundings)),
    processes: [...vram.roster.servers.keys()].flatMap((backend) => {
      const process = vram.roster.port(backend)?.process;
      return process ? [{ backend, ...shown(process.describe(), isOperator) }] : [];
    }),
    waiting: waitingToWire(vram),
    recent: vram.recent.list().map(happenedToWire),
    demoted: vram.reclaimer.demotions().map(({ backend, verb, sinceMs, reason }) => ({
      backend,
      verb,
      since: iso(sinceMs),
      reason,
    })),
  };
}

function shown(process: ReturnType<ProcessPort["describe"]>, isOperator: boolean) {
  const { last_lines: lines, ...rest } = process;
  return isOperator && lines !== undefined ? { ...rest, last_lines: lines } : rest;
}

function deviceToWire(device: Device, vram: Vram, surroundings: Surroundings) {
  const { iso } = surroundings;
  const { name, limitMiB, foreignMiB, heldMiB, promisedMiB, heavyLimit, reservation } = device;
  const state = vram.probes.get(name)?.state();
  const reading = state?.kind === "reading" ? state.reading : undefined;
  const truth = vram.inspector.truth(name);
  return {
    name,
    uuid: reading?.uuid ?? null,
    product: reading?.product ?? null,
    total_mib: reading?.totalMiB ?? null,
    used_mib: reading?.usedMiB ?? null,
    free_mib: reading ? reading.totalMiB - reading.usedMiB : null,
    utilisation: reading?.utilisation ?? null,
    limit_mib: finite(limitMiB),
    held_mib: heldMiB,
    promised_mib: promisedMiB,
    foreign_mib: foreignMiB,
    available_mib: finite(freeMiB(device)),
    heavy: { running: device.heavyRunning, limit: heavyLimit },
    probe: {
      kind: vram.probes.get(name)?.kind ?? "declared",
      state: state?.kind ?? "missing",
      reason: state?.kind === "missing" ? state.reason : null,
      measured_at: reading ? iso(reading.atMs) : null,
    },
    processes:
      reading?.processes?.map(({ pid, name: command, usedMiB }) => ({
        pid,
        name: command ?? null,
        used_mib: usedMiB,
        backend: vram.ownerOf(pid) ?? null,
      })) ?? null,
    residents: device.places
      .filter(({ server }) => vram.roster.port(server.name))
      .map((place) => residentToWire(place, truth?.measured.get(place.server.name), iso)),
    leases: [
      ...jobLeases(device, vram, surroundings),
      ...vram.leases
        .list()
        .filter((it) => it.device === name && it.state === "granted")
        .map(external),
      ...[...vram.orphans.list()]
        .filter(([backend]) => vram.roster.port(backend)?.device === name)
        .map(([backend, sinceMs]) => ({
          kind: "orphan",
          job_id: null,
          backend,
          mib: 0,
          since: iso(sinceMs),
        })),
      ...(truth?.shadows ?? []).map(({ pid, name: command, usedMiB }) => ({
        kind: "shadow",
        pid,
        name: command,
        mib: usedMiB,
      })),
    ],
    reservation: reservation
      ? {
          job_id: reservation.job.id,
          backend: reservation.place.server.name,
          model: reservation.place.model,
          draining: reservation.victims.map(({ server, model }) => ({
            backend: server.name,
            model,
          })),
        }
      : null,
  };
}

export function residentToWire(
  place: Place,
  measuredMiB: number | undefined,
  iso: (monotonicMs: number) => string,
) {
  const { server, model, state, residentMiB, running, served, pinned, lastUsedMs } = place;
  return {
    backend: server.name,
    model,
    device: place.device.name,
    state,
    resident_mib: Math.round(residentMiB),
    /** Of the backend's processes in all, where they can be told apart. */
    backend_measured_mib: measuredMiB ?? null,
    running,
    served,
    pinned,
    last_used_at: Number.isFinite(lastUsedMs) ? iso(lastUsedMs) : null,
  };
}

function jobLeases(device: Device, vram: Vram, { iso, isOrphan }: Surroundings) {
  return [...vram.admission.granted.values()]
    .filter((job): job is Granted & { running: object } => job.running?.place.device === device)
    .map(({ request, backend, running, startedAtMs }) => ({
      kind: isOrphan(request.jobId) ? "orphan" : "job",
      job_id: request.jobId,
      backend,
      model: running?.place.model ?? null,
      mib: Math.round(running?.job.workingMiB ?? 0),
      heavy: running?.job.heavy ?? false,
      since: iso(startedAtMs),
    }));
}

function external(lease: ExternalLease) {
  const { lease_id, name, mib, heavy, pid, granted_at: since, expires_at } = leaseToWire(lease);
  return { kind: "external", lease_id, name, mib, heavy, pid, since, expires_at };
}

function waitingToWire({ scheduler, roster }: Vram) {
  return scheduler.view.groups.map(({ size, lines, places, runMs }) => {
    const first = lines[0] ? headOf(lines[0]).id : null;
    // External leases wait among the jobs, with a place of their own and no backend.
    const isLease = !places.some(({ server }) => roster.port(server.name));
    return {
      jobs: isLease ? 0 : size,
      first_job_id: isLease ? null : first,
      lease_id: isLease ? first : null,
      keys: new Set(lines.map(({ share }) => share.key)).size,
      expected_run_ms: isLease ? null : Math.round(runMs / size),
      places: places.map(({ server, model, device, state }) => ({
        backend: isLease ? null : server.name,
        model,
        device: device.name,
        state,
      })),
    };
  });
}

export function leaseToWire(lease: ExternalLease) {
  const iso = (timeMs: number) => new Date(timeMs).toISOString();
  return {
    lease_id: lease.id,
    name: lease.name,
    status: lease.state,
    device: lease.device,
    mib: lease.mib,
    heavy: lease.heavy,
    pid: lease.pid ?? null,
    ttl_s: lease.ttlMs / 1_000,
    created_at: iso(lease.createdAtMs),
    granted_at: lease.grantedAtMs === undefined ? null : iso(lease.grantedAtMs),
    expires_at: iso(lease.expiresAtMs),
  };
}

function happenedToWire({ type, atMs, event }: Happened) {
  const at = new Date(atMs).toISOString();
  switch (type) {
    case "vram.reclaimed":
      return { at, type, ...reclaimToWire(event) };
    case "vram.loaded":
      return { at, type, ...event, ms: Math.round(event.ms) };
    default:
      return { at, type, ...event };
  }
}

export function reclaimToWire(result: EventMap["vram.reclaimed"]) {
  return {
    backend: result.backend,
    device: result.device,
    models: result.models,
    freed: result.freed,
    expected_mib: Math.round(result.expectedMiB),
    actual_mib: result.actualMiB === null ? null : Math.round(result.actualMiB),
    attempts: result.attempts.map(
      ({ verb, believed, expectedMiB, actualMiB, durationMs, error }) => ({
        verb,
        believed,
        expected_mib: Math.round(expectedMiB),
        actual_mib: actualMiB === null ? null : Math.round(actualMiB),
        duration_ms: Math.round(durationMs),
        error: error ?? null,
      }),
    ),
  };
}

const finite = (mib: number): number | null => (Number.isFinite(mib) ? Math.round(mib) : null);
