/**
 * The one place where a request becomes a principal or is refused. It runs for every route, HTTP
 * and WebSocket alike, so it is synchronous and touches neither disk nor network.
 */
import { GatewayError } from "../errors.ts";
import type { Connection, Policy } from "../http/route.ts";
import { ADMIN_KEY_ID, type AdminKey } from "./admin-key-file.ts";
import type { ClientAddress } from "./client-address.ts";
import { credential, isUpgrade, offeredSubprotocols, SUBPROTOCOL } from "./credential.ts";
import type { Failures } from "./failures.ts";
import type { KeyRing, KnownKey } from "./key-ring.ts";
import { hashSecret, sameHash } from "./keys.ts";
import { refuseForeignOrigin } from "./origin.ts";
import type { Principal } from "./principal.ts";
import type { RateLimiter } from "./rate-limit.ts";
import { SCOPES } from "./scopes.ts";
import type { Tickets } from "./tickets.ts";

export interface Admitted {
  /** Undefined only on `public` and `bootstrap` routes. */
  readonly principal?: Principal;
  /** For the answer: the key's rate limit. */
  readonly headers: Readonly<Record<string, string>>;
  /** The subprotocol to select when a WebSocket is opened. */
  readonly protocol?: typeof SUBPROTOCOL;
}

export interface Guard {
  /**
   * Throws UNAUTHORIZED, FORBIDDEN_SCOPE, ORIGIN_NOT_ALLOWED or RATE_LIMITED. `path` is the path
   * that the router matched, with its parameters filled in; tickets are bound to it.
   *
   * A wrong key on a `public` route is ignored, not refused: a liveness probe that was left with an
   * old key must not restart the gateway. It still counts as a failure, and shows nothing more.
   */
  admit(request: Request, path: string, policy: Policy, connection: Connection): Admitted;
}

export interface GuardParts {
  readonly ring: KeyRing;
  readonly tickets: Tickets;
  readonly limiter: RateLimiter;
  readonly failures: Failures;
  readonly allowedOrigins: readonly string[];
  readonly adminKey: AdminKey | undefined;
  /** Whose wrong keys are counted: the peer, or whoever stands behind a trusted proxy. */
  readonly clientAddress: ClientAddress;
  /** Throws when a request without a key may not create the first one. */
  readonly expectFirst: (request: Request, peer: string) => void;
}

/** Whose wrong keys are counted. */
type Peer = () => string;
type Identified = { readonly key: KnownKey | "admin" } | { readonly hint: string; guess: boolean };

/** The longest text that is looked at; what may be an admin key file's. */
const MAX_CREDENTIAL_LENGTH = 512;
const HOW = "Send a key in the X-API-Key header, or as `Authorization: Bearer <key>`.";
const ADMIN: Principal = {
  keyId: ADMIN_KEY_ID,
  name: "admin key file",
  scopes: new Set(SCOPES),
  limits: { requestsPerMinute: 0, activeJobs: 0 },
};
const NO_HEADERS: Readonly<Record<string, string>> = {};

export function createGuard(parts: GuardParts): Guard {
  const { ring, tickets, limiter, failures, adminKey } = parts;

  function identify(request: Request, path: string, policy: Policy, peer: Peer): Identified {
    const presented = credential(request, policy.ticket === true);
    if (!presented) return { hint: nothingPresented(), guess: false };
    const { kind, text } = presented;
    if (kind === "ticket") {
      const keyId = tickets.redeem(text, path, request.headers.get("origin"));
      const key = keyId === ADMIN_KEY_ID ? "admin" : keyId && ring.find(keyId);
      if (key) return { key };
      return { hint: "Tickets work once, for 30 s, for one path. Get a new one.", guess: true };
    }
    if (text.length > MAX_CREDENTIAL_LENGTH) return { hint: HOW, guess: true };
    // A generated key cannot be guessed, so its holder gets in even from an address where others
    // fail; a text that a person chose is not even looked at from there.
    const adminAllowed = adminKey && failures.blockedForMs(peer()) === 0;
    if (adminAllowed && sameHash(hashSecret(text), adminKey.hash)) return { key: "admin" };
    const found = ring.recognise(text);
    if (found.kind === "valid") return { key: found.key };
    if (found.kind === "ended") return { hint: ENDED[found.why], guess: false };
    return { hint: "This gateway does not know the key. Is it complete?", guess: true };
  }

  function nothingPresented(): string {
    if (ring.count() > 0 || adminKey) return HOW;
    return `${HOW} No key exists yet: the gateway's start message shows how to create the first.`;
  }

  function refuse(peer: Peer, { hint, guess }: { hint: string; guess: boolean }): never {
    const blockedForMs = guess ? failures.blockedForMs(peer()) : 0;
    if (guess) failures.add(peer());
    if (blockedForMs > 0) {
      const why = "Too many wrong keys from this address";
      throw new GatewayError("RATE_LIMITED", why, { retryAfterMs: blockedForMs });
    }
    throw unauthorized(hint);
  }

  /** Spends a request of the key, and of its parent where it has one. */
  function spend({ principal, parentId }: KnownKey): Readonly<Record<string, string>> {
    const parent = parentId === undefined ? undefined : ring.find(parentId)?.principal;
    const own = limiter.take(principal.keyId, principal.limits.requestsPerMinute);
    const shared = parent && limiter.take(parent.keyId, parent.limits.requestsPerMinute);
    const verdict = shared && shared.waitMs > own.waitMs ? shared : own;
    if (verdict.waitMs === 0) return own.headers;
    const limit = verdict === own ? principal : (parent ?? principal);
    throw new GatewayError(
      "RATE_LIMITED",
      `Key ${limit.keyId} may send ${limit.limits.requestsPerMinute} requests per minute`,
      { retryAfterMs: verdict.waitMs, headers: verdict.headers },
    );
  }

  return {
    admit(request, path, policy, connection) {
      // Asked for only when a wrong key is counted: to look it up costs as much as to check a key.
      const peer = () => parts.clientAddress(request, connection.peer);
      const protocol = isUpgrade(request) ? subprotocol(request, parts.allowedOrigins) : undefined;
      const identified = identify(request, path, policy, peer);
      if (policy.access === "public") {
        if ("key" in identified) return admitted(principalOf(identified.key), NO_HEADERS, protocol);
        if (identified.guess) failures.add(peer());
        return admitted(undefined, NO_HEADERS, protocol);
      }
      if (!("key" in identified)) {
        const withoutKey = policy.access === "bootstrap" && credential(request) === undefined;
        if (!withoutKey) return refuse(peer, identified);
        // Before the body is read: whoever may not make a key must not be told how to ask for one.
        parts.expectFirst(request, connection.peer);
        return admitted(undefined, NO_HEADERS, protocol);
      }
      const { key } = identified;
      const principal = principalOf(key);
      const headers = key === "admin" ? NO_HEADERS : spend(key);
      if (policy.access !== "any" && policy.access !== "bootstrap") {
        requireScope(principal, policy.access, headers);
      }
      if (key !== "admin") ring.touch(key);
      return admitted(principal, headers, protocol);
    },
  };
}

const ENDED = {
  revoked: "This key was revoked. Ask for a new one.",
  expired: "This key has expired. Ask for a new one.",
  rotated: "This key's secret was replaced and its grace has ended. Use the new one.",
} as const;

/** Every refusal of a credential has this one shape. */
export function unauthorized(hint: string): GatewayError {
  return new GatewayError("UNAUTHORIZED", undefined, {
    details: { hint },
    headers: { "WWW-Authenticate": 'Bearer realm="switchyard"' },
  });
}

function requireScope(
  principal: Principal,
  scope: (typeof SCOPES)[number],
  headers: Readonly<Record<string, string>>,
): void {
  if (principal.scopes.has(scope)) return;
  throw new GatewayError("FORBIDDEN_SCOPE", `Key ${principal.keyId} lacks the scope "${scope}"`, {
    details: { scope },
    headers,
  });
}

function subprotocol(request: Request, allowedOrigins: readonly string[]) {
  refuseForeignOrigin(request, allowedOrigins);
  return offeredSubprotocols(request).includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined;
}

function principalOf(key: KnownKey | "admin"): Principal {
  return key === "admin" ? ADMIN : key.principal;
}

function admitted(
  principal: Principal | undefined,
  headers: Readonly<Record<string, string>>,
  protocol: typeof SUBPROTOCOL | undefined,
): Admitted {
  return protocol ? { principal, headers, protocol } : { principal, headers };
}
