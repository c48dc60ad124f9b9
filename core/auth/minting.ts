/** What a new key may do: the request's wishes, held against the key that asks. Pure. */
import { GatewayError } from "../errors.ts";
import { generateKey, hashSecret } from "./keys.ts";
import type { KeyLimits, Principal } from "./principal.ts";
import { effectiveScopes, PRESETS, type Preset, type Scope } from "./scopes.ts";
import type { KeyRow, Maker, Terms } from "./store.ts";

export interface KeyWishes {
  readonly name: string;
  /** At most one of these two. */
  readonly scopes?: readonly Scope[] | undefined;
  readonly preset?: Preset | undefined;
  /** Wall clock; undefined: as long as allowed. */
  readonly expiresAtMs?: number | undefined;
  readonly limits?: Partial<KeyLimits> | undefined;
}

/** A row and the text of its key, which is shown once and kept nowhere. */
export interface MintedKey {
  readonly text: string;
  readonly row: KeyRow;
}

export function mintKey(terms: Terms, maker: Maker, nowMs: number): MintedKey {
  const { id, secret, text } = generateKey();
  const row: KeyRow = {
    id,
    name: terms.name,
    hash: hashSecret(secret),
    scopes: [...terms.scopes],
    limits: terms.limits,
    createdAt: nowMs,
    createdBy: maker,
    expiresAt: terms.expiresAt,
    lastUsedAt: null,
    revokedAt: null,
    previousHash: null,
    previousExpiresAt: null,
  };
  return { text, row };
}

/** Terms for a key that no other key asks for: the first one, or one made with the CLI. */
export function termsOf(
  wishes: KeyWishes,
  defaultPreset: Preset,
  nowMs: number,
  maxLifetimeMs: number,
): Terms {
  if (wishes.scopes && wishes.preset) {
    throw invalid("preset", "Give either `scopes` or `preset`, not both");
  }
  return {
    name: wishes.name,
    scopes: [...new Set(wishes.scopes ?? PRESETS[wishes.preset ?? defaultPreset])],
    limits: { ...wishes.limits },
    expiresAt: expiryOf(wishes.expiresAtMs, nowMs, maxLifetimeMs),
  };
}

/**
 * Terms for a key that another key asks for: never more scopes and never a later end than that key
 * has, and higher limits only with `keys:admin`. Without these rules a stolen key would outgrow
 * itself.
 */
export function termsWithin(
  minter: Principal,
  wishes: KeyWishes,
  nowMs: number,
  maxLifetimeMs: number,
): Terms {
  const terms = termsOf(wishes, "client", nowMs, maxLifetimeMs);
  requireScopesWithin(minter, terms.scopes);
  const isAdmin = minter.scopes.has("keys:admin");
  return {
    ...terms,
    expiresAt: expiryWithin(minter, wishes.expiresAtMs, terms.expiresAt),
    limits: isAdmin ? terms.limits : limitsWithin(minter, wishes.limits ?? {}),
  };
}

export function requireScopesWithin(minter: Principal, scopes: readonly string[]): void {
  const missing = [...effectiveScopes(scopes)].filter((scope) => !minter.scopes.has(scope));
  if (missing.length === 0) return;
  throw new GatewayError(
    "FORBIDDEN_SCOPE",
    `Key ${minter.keyId} cannot hand out what it lacks: ${missing.join(", ")}. ` +
      "Name fewer `scopes`.",
    { details: { scopes: missing } },
  );
}

function expiryOf(wanted: number | undefined, nowMs: number, maxLifetimeMs: number): number | null {
  const latest = maxLifetimeMs > 0 ? nowMs + maxLifetimeMs : null;
  if (wanted === undefined) return latest;
  if (wanted <= nowMs)
    throw invalid("expires_at", "The end of the key's life is not in the future");
  if (latest !== null && wanted > latest) {
    const allowed = new Date(latest).toISOString();
    throw invalid("expires_at", `Keys of this gateway must end by ${allowed}`);
  }
  return wanted;
}

function expiryWithin(
  { keyId, expiresAtMs: latest }: Principal,
  wanted: number | undefined,
  found: number | null,
): number | null {
  if (latest === undefined) return found;
  if (wanted !== undefined && wanted > latest) {
    const end = new Date(latest).toISOString();
    throw invalid("expires_at", `Key ${keyId} ends at ${end}; its keys must end by then`);
  }
  return Math.min(found ?? latest, latest);
}

function limitsWithin({ keyId, limits: own }: Principal, wanted: Partial<KeyLimits>): KeyLimits {
  const within = (name: keyof KeyLimits): number => {
    const most = own[name] ?? 1;
    const wish = wanted[name] ?? most;
    const isMore = most !== 0 && (wish === 0 || wish > most);
    if (!isMore) return wish;
    throw new GatewayError(
      "FORBIDDEN_SCOPE",
      `Key ${keyId} is limited to ${most} ${WORDS[name]}; more needs the scope "keys:admin"`,
      { details: { scope: "keys:admin" } },
    );
  };
  return {
    requestsPerMinute: within("requestsPerMinute"),
    activeJobs: within("activeJobs"),
    gpuWeight: within("gpuWeight"),
  };
}

const WORDS: { readonly [Name in keyof KeyLimits]-?: string } = {
  requestsPerMinute: "requests per minute",
  activeJobs: "unfinished jobs",
  gpuWeight: "as its part of the GPUs",
};

/** A refusal of one field of the request's body. */
export function invalid(field: string, message: string): GatewayError {
  return new GatewayError("VALIDATION_FAILED", message, {
    details: { errors: [{ field: `/${field}`, message }] },
  });
}
