/** A request for work: what the host makes of it, and what becomes of it in a job. */

import type { TSchema } from "@sinclair/typebox";
import type { KeyLimits, Principal } from "../auth/principal.ts";
import type { Scope } from "../auth/scopes.ts";
import { GatewayError } from "../errors.ts";
import type { Work } from "./jobs.ts";
import type { Choices } from "./ports.ts";

/** One kind of work and its route, as the host offers it. */
export interface ServicePort {
  readonly kind: string;
  /** "POST /generate/image" */
  readonly route: string;
  readonly scope: Scope;
  readonly summary: string;
  readonly bodySchema: TSchema;
  readonly example: unknown;
}

export interface ResolvedWork {
  readonly choices: Choices;
  /** The request named no backend. */
  readonly anyBackend: boolean;
  readonly queueTimeoutMs: number;
  readonly input: Record<string, unknown>;
  readonly model?: string;
  readonly priority?: number;
  readonly startBy?: string;
  readonly timeoutMs?: number;
  readonly tag?: string;
  readonly stream: boolean;
}

export interface CataloguePort {
  readonly services: readonly ServicePort[];
  /** Checks the request and chooses its backend; throws the error that the client gets. */
  resolve(kind: string, body: unknown, principal: Principal): Promise<ResolvedWork>;
}

const DEFAULT_PRIORITY = 5;
const PRIORITY_WORDS: Readonly<Record<string, number>> = {
  interactive: 8,
  normal: DEFAULT_PRIORITY,
  background: 2,
};
/** The parts of a job that the request decides; also used for work that a plugin asks for. */
export function workOf(
  capability: string,
  resolved: ResolvedWork,
  limits: KeyLimits,
  nowMs: number,
): Omit<Work, "keyId" | "priority"> {
  const startBy = resolved.startBy === undefined ? undefined : Date.parse(resolved.startBy);
  if (startBy !== undefined && startBy <= nowMs) {
    const message = `${resolved.startBy} has passed: the job could never start by then`;
    throw new GatewayError("VALIDATION_FAILED", message, {
      details: { errors: [{ field: "/start_by", message }] },
    });
  }
  return {
    capability,
    choices: resolved.choices,
    anyBackend: resolved.anyBackend,
    model: resolved.model,
    input: resolved.input,
    startByMs: startBy ?? nowMs + resolved.queueTimeoutMs,
    timeoutMs: resolved.timeoutMs,
    tag: resolved.tag,
    activeLimit: limits.activeJobs,
  };
}

/** As the body says, else the X-Priority header. */
export function priorityOf(request: Request, { priority }: ResolvedWork): number {
  return priority ?? headerPriority(request) ?? DEFAULT_PRIORITY;
}

function headerPriority(request: Request): number | undefined {
  return PRIORITY_WORDS[request.headers.get("x-priority")?.toLowerCase() ?? ""];
}
