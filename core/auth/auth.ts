/**
 * Puts the parts of authentication together and offers what routes and other modules need of them.
 */
import type { Clock } from "../clock.ts";
import type { Database } from "../storage/mod.ts";
import type { AdminKey } from "./admin-key-file.ts";
import { ADMIN_KEY_ID } from "./admin-key-file.ts";
import { isBootstrapConfigured } from "./bootstrap.ts";
import { createClientAddress } from "./client-address.ts";
import { createFailures } from "./failures.ts";
import { createGuard, type Guard } from "./guard.ts";
import { createKeyDesk, type KeyDesk } from "./key-desk.ts";
import { createKeyRing } from "./key-ring.ts";
import type { KeyLimits, Principal } from "./principal.ts";
import { createRateLimiter } from "./rate-limit.ts";
import { createKeyStore } from "./store.ts";
import { createTickets, type Ticket } from "./tickets.ts";

export interface AuthSettings {
  /** How long after the start the first key can be created without a key. */
  readonly bootstrapWindowMs: number;
  /** Wrong keys per peer address and minute before 429; 0: no limit. */
  readonly failuresPerMinute: number;
  /** 0: keys may live for ever. */
  readonly maxKeyLifetimeMs: number;
  /** For keys that have no limits of their own. */
  readonly limits: KeyLimits;
  /** Origins, as browsers send them, whose pages may open WebSockets. */
  readonly allowedOrigins: readonly string[];
  readonly trustedProxies: readonly string[];
}

export interface AuthOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly settings: AuthSettings;
  readonly startedAtMonotonicMs: number;
  /** From `readAdminKeyFile`. */
  readonly adminKey?: AdminKey | undefined;
}

export interface Auth {
  readonly guard: Guard;
  readonly keys: KeyDesk;
  readonly clock: Clock;
  readonly defaultLimits: KeyLimits;
  issueTicket(principal: Principal, path: string, origin: string | null): Ticket;
  /** True while the key exists, is not revoked and has not expired. */
  isValid(keyId: string): boolean;
  /** Its part of the GPUs compared with other keys. */
  gpuWeight(keyId: string): number;
  /** Hears, within half a second, of every key whose open sockets must be closed (4401). */
  onRevoked(listener: (keyId: string) => void): () => void;
  /** Whether the start message should show how to create the first key without one. */
  isBootstrapOpen(): boolean;
  close(): void;
}

export function createAuth(options: AuthOptions): Auth {
  const { database, clock, settings, adminKey } = options;
  const store = createKeyStore(database);
  const ring = createKeyRing(store, clock, settings.limits);
  const tickets = createTickets(clock);
  const bootstrap = { ...settings, hasAdminKeyFile: adminKey !== undefined };
  const runningForMs = () => clock.monotonicMs() - options.startedAtMonotonicMs;

  const keys = createKeyDesk({ store, ring, clock, settings, runningForMs, bootstrap });

  return {
    guard: createGuard({
      ring,
      tickets,
      limiter: createRateLimiter(clock),
      failures: createFailures(clock, settings.failuresPerMinute),
      allowedOrigins: settings.allowedOrigins,
      adminKey,
      clientAddress: createClientAddress(settings.trustedProxies),
      expectFirst: keys.expectFirst,
    }),
    keys,
    clock,
    defaultLimits: settings.limits,
    issueTicket: ({ keyId }, path, origin) => tickets.issue(keyId, path, origin),
    isValid: (id) => (id === ADMIN_KEY_ID ? adminKey !== undefined : ring.find(id) !== undefined),
    gpuWeight: (id) => ring.find(id)?.principal.limits.gpuWeight ?? 1,
    onRevoked: ring.onEnded,
    isBootstrapOpen: () =>
      ring.count() === 0 &&
      isBootstrapConfigured(bootstrap) &&
      runningForMs() <= settings.bootstrapWindowMs,
    close: ring.close,
  };
}
