/**
 * Tickets: for browsers, which can set no header on a WebSocket, an EventSource or a download. A
 * ticket stands in for a key once, for one path, for 30 seconds, so a URL in a log is worth
 * nothing.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import { randomBase62 } from "./keys.ts";

export interface Ticket {
  readonly ticket: string;
  /** Wall clock. */
  readonly expiresAtMs: number;
}

export interface Tickets {
  /** `path` as in the URL, or any path of a job. Throws RATE_LIMITED when too many are open. */
  issue(keyId: string, path: string, origin: string | null): Ticket;
  /** The id of the key behind the ticket, if it is good for this use. It is spent in any case. */
  redeem(ticket: string, path: string, origin: string | null): string | undefined;
}

interface OpenTicket {
  readonly keyId: string;
  readonly resource: string;
  readonly origin: string | null;
  readonly endsAtMs: number;
}

export const TICKET_LIFETIME_MS = 30_000;
const TICKET_LENGTH = 32;
const MAX_TICKETS = 10_000;
const MAX_PER_KEY = 100;
/** Socket, its alias and event stream are one resource: a ticket for the job opens any of them. */
const JOB_PATH = /^(?:\/jobs)?\/ws\/jobs\/([^/]+)$|^\/jobs\/([^/]+)\/events$/;

export function createTickets(clock: Clock): Tickets {
  const open = new Map<string, OpenTicket>();

  /** All tickets live equally long, so the oldest are at the front. */
  function dropExpired(): void {
    for (const [ticket, { endsAtMs }] of open) {
      if (endsAtMs > clock.monotonicMs()) return;
      open.delete(ticket);
    }
  }

  return {
    issue(keyId, path, origin) {
      dropExpired();
      let ofThisKey = 0;
      for (const ticket of open.values()) if (ticket.keyId === keyId) ofThisKey += 1;
      if (ofThisKey >= MAX_PER_KEY || open.size >= MAX_TICKETS) {
        const held =
          ofThisKey >= MAX_PER_KEY ? `This key has ${ofThisKey}` : "The gateway has too many";
        throw new GatewayError(
          "RATE_LIMITED",
          `${held} unused tickets; use them or let them expire`,
          {
            retryAfterMs: TICKET_LIFETIME_MS,
          },
        );
      }
      const ticket = randomBase62(TICKET_LENGTH);
      const endsAtMs = clock.monotonicMs() + TICKET_LIFETIME_MS;
      open.set(ticket, { keyId, resource: resourceOf(path), origin, endsAtMs });
      return { ticket, expiresAtMs: clock.nowMs() + TICKET_LIFETIME_MS };
    },
    redeem(ticket, path, origin) {
      const found = open.get(ticket);
      open.delete(ticket);
      if (!found || found.endsAtMs <= clock.monotonicMs()) return undefined;
      if (found.resource !== resourceOf(path)) return undefined;
      // Same-origin reads and downloads carry no Origin, so only a different one is a mismatch.
      if (origin !== null && found.origin !== null && origin !== found.origin) return undefined;
      return found.keyId;
    },
  };
}

function resourceOf(path: string): string {
  const [, socket, stream] = JOB_PATH.exec(path) ?? [];
  const jobId = socket ?? stream;
  return jobId === undefined ? path : `job ${jobId}`;
}
