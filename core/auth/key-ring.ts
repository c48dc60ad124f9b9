/**
 * Every key, in memory: a request must not cost a query, and an unknown id must cost what a known
 * one costs. Own changes are taken over at once; those of another process (the CLI) within half a
 * second, which SQLite's data version reveals without a read of the table.
 */
import { clearInterval, setInterval } from "node:timers";
import type { Clock } from "../clock.ts";
import { hashSecret, parseKey, sameHash } from "./keys.ts";
import type { KeyLimits, Principal } from "./principal.ts";
import { effectiveScopes } from "./scopes.ts";
import type { KeyRow, KeyStore } from "./store.ts";

export interface KnownKey {
  readonly row: KeyRow;
  readonly principal: Principal;
  /** Set for a sub-key: the key whose request rate it also spends. */
  readonly parentId: string | undefined;
}

export type Recognition =
  | { readonly kind: "valid"; readonly key: KnownKey }
  /** The secret was right, but the key has ended: its holder may be told so. */
  | { readonly kind: "ended"; readonly why: "revoked" | "expired" | "rotated" }
  | { readonly kind: "unknown" };

export interface KeyRing {
  /** Checks the text of a key; the same work for an unknown id and for a wrong secret. */
  recognise(text: string): Recognition;
  /** The usable key with this id. */
  find(id: string): KnownKey | undefined;
  count(): number;
  /** Notes that the key was used: in the store at most once a minute. */
  touch(key: KnownKey): void;
  /** Takes over what this process has just changed in the store. */
  reload(): void;
  /** Called with the id of each key that was revoked, has expired or got a new secret. */
  onEnded(listener: (keyId: string) => void): () => void;
  close(): void;
}

const CHECK_EVERY_MS = 500;
const TOUCH_EVERY_MS = 60_000;
const UNKNOWN: Recognition = { kind: "unknown" };
const PARENT = "parent:";

export function createKeyRing(store: KeyStore, clock: Clock, defaults: KeyLimits): KeyRing {
  const listeners = new Set<(keyId: string) => void>();
  const usedAtMs = new Map<string, number>();
  /** Ids announced as usable so far; leaving this set is what listeners hear of. */
  let usable = new Set<string>();
  let keys = new Map<string, KnownKey>();
  let version = -1;
  let checkedAtMs = 0;

  function load(): void {
    const before = keys;
    keys = new Map(store.all().map((row) => [row.id, knownKey(row, defaults)]));
    for (const [id, key] of keys) {
      const old = before.get(id);
      if (old && usable.has(id) && secretWasDropped(old.row, key.row, clock.nowMs())) announce(id);
    }
    const wereUsable = usable;
    usable = new Set([...keys.values()].filter(isUsable).map((key) => key.row.id));
    for (const id of wereUsable) if (!usable.has(id)) announce(id);
  }

  function refresh(): void {
    checkedAtMs = clock.monotonicMs();
    const current = store.foreignVersion();
    if (current !== version) {
      version = current;
      load();
      return;
    }
    for (const id of usable) {
      if (find(id) !== undefined) continue;
      usable.delete(id);
      announce(id);
    }
  }

  function announce(id: string): void {
    for (const listener of listeners) {
      try {
        listener(id);
      } catch {
        // One listener's failure must not keep the next one from closing its sockets.
      }
    }
  }

  function isUsable({ row }: KnownKey): boolean {
    return row.revokedAt === null && (row.expiresAt === null || clock.nowMs() < row.expiresAt);
  }

  function find(id: string): KnownKey | undefined {
    const key = keys.get(id);
    return key && isUsable(key) ? key : undefined;
  }

  function refreshWhenDue(): void {
    if (clock.monotonicMs() - checkedAtMs >= CHECK_EVERY_MS) refresh();
  }

  const timer = setInterval(() => {
    try {
      refresh();
    } catch {
      // The next request meets the same failure, and can report it.
    }
  }, CHECK_EVERY_MS);
  timer.unref();
  refresh();

  return {
    recognise(text) {
      refreshWhenDue();
      const parts = parseKey(text);
      if (!parts) return UNKNOWN;
      const key = keys.get(parts.id);
      const presented = hashSecret(parts.secret);
      // Both comparisons always run: their number must not tell which one failed.
      const isCurrent = sameHash(presented, key?.row.hash);
      const isPrevious = sameHash(presented, key?.row.previousHash);
      if (!key || !(isCurrent || isPrevious)) return UNKNOWN;
      if (key.row.revokedAt !== null) return { kind: "ended", why: "revoked" };
      if (!isUsable(key)) return { kind: "ended", why: "expired" };
      const graceEnded = (key.row.previousExpiresAt ?? 0) <= clock.nowMs();
      if (!isCurrent && graceEnded) return { kind: "ended", why: "rotated" };
      return { kind: "valid", key };
    },
    find(id) {
      refreshWhenDue();
      return find(id);
    },
    count: () => keys.size,
    touch({ row: { id, lastUsedAt } }) {
      const nowMs = clock.nowMs();
      if (nowMs - (usedAtMs.get(id) ?? lastUsedAt ?? 0) < TOUCH_EVERY_MS) return;
      usedAtMs.set(id, nowMs);
      store.touch(id, nowMs);
    },
    reload: load,
    onEnded(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => clearInterval(timer),
  };
}

function knownKey(row: KeyRow, defaults: KeyLimits): KnownKey {
  return {
    row,
    parentId: row.createdBy?.startsWith(PARENT) ? row.createdBy.slice(PARENT.length) : undefined,
    principal: {
      keyId: row.id,
      name: row.name,
      scopes: effectiveScopes(row.scopes),
      limits: { ...defaults, ...row.limits },
      expiresAtMs: row.expiresAt ?? undefined,
    },
  };
}

/**
 * True when the secret changed and the old one got no grace: whoever came in with it must leave.
 */
function secretWasDropped(before: KeyRow, after: KeyRow, nowMs: number): boolean {
  if (before.hash.equals(after.hash)) return false;
  const stillAccepted = after.previousHash?.equals(before.hash) ?? false;
  return !(stillAccepted && (after.previousExpiresAt ?? 0) > nowMs);
}
