/**
 * Making, showing, ending and renewing keys on behalf of a key, and making the first one on behalf
 * of nobody. Rules that need the store are here; what a new key may do is decided in `minting.ts`.
 */
import type { Clock } from "../clock.ts";
import { GatewayError } from "../errors.ts";
import { type BootstrapSettings, bootstrapRefusal } from "./bootstrap.ts";
import { unauthorized } from "./guard.ts";
import type { KeyRing } from "./key-ring.ts";
import { renewKey } from "./keys.ts";
import {
  type KeyWishes,
  type MintedKey,
  mintKey,
  requireScopesWithin,
  termsOf,
  termsWithin,
} from "./minting.ts";
import type { Principal } from "./principal.ts";
import type { KeyRow, KeyStore, Maker } from "./store.ts";

/** What the key routes do. A key that is not the principal's business is NOT_FOUND. */
export interface KeyDesk {
  create(wishes: KeyWishes, by: Principal): Promise<MintedKey>;
  /** Throws UNAUTHORIZED or BOOTSTRAP_CLOSED when this request may not create the first key. */
  expectFirst(request: Request, peer: string): void;
  createFirst(wishes: KeyWishes, request: Request, peer: string): Promise<MintedKey>;
  get(id: string, by: Principal): KeyRow;
  page(limit: number, after?: string): KeyRow[];
  revoke(id: string, by: Principal): Promise<KeyRow>;
  /** The new secret works at once, the old one until the grace ends. */
  rotate(id: string, graceMs: number, by: Principal): Promise<MintedKey>;
}

export interface KeyDeskParts {
  readonly store: KeyStore;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly settings: { readonly maxKeyLifetimeMs: number };
  readonly bootstrap: BootstrapSettings;
  runningForMs(): number;
}

/** A key without `keys:admin` cannot farm rate limits, nor hide stolen access, behind many keys. */
const MAX_SUB_KEYS = 32;

export function createKeyDesk(parts: KeyDeskParts): KeyDesk {
  const { store, ring, clock, settings, bootstrap, runningForMs } = parts;

  /** The admin key file's holder, a key itself, its parent, and `keys:admin` may see a key. */
  function visible(id: string, by: Principal): KeyRow {
    const row = store.get(id);
    const isTheirs = row && (row.id === by.keyId || row.createdBy === `parent:${by.keyId}`);
    if (row && (isTheirs || by.scopes.has("keys:admin"))) return row;
    throw new GatewayError("NOT_FOUND", `There is no key "${id}"`);
  }

  function makerFor(by: Principal): Maker {
    if (by.scopes.has("keys:admin")) return `key:${by.keyId}`;
    if (store.get(by.keyId)?.createdBy?.startsWith("parent:")) {
      throw new GatewayError(
        "FORBIDDEN_SCOPE",
        `Key ${by.keyId} is a sub-key: it cannot create keys`,
        {
          details: { scope: "keys:admin" },
        },
      );
    }
    if (store.countSubKeys(by.keyId) >= MAX_SUB_KEYS) {
      throw new GatewayError("QUOTA_EXCEEDED", `Key ${by.keyId} has ${MAX_SUB_KEYS} sub-keys`, {
        details: { hint: "Revoke one with DELETE /auth/keys/{id}." },
        retryAfterMs: 60_000,
      });
    }
    return `parent:${by.keyId}`;
  }

  function expectFirst(request: Request, peer: string): void {
    if (ring.count() > 0) throw unauthorized(KEYS_EXIST);
    const refusal = bootstrapRefusal(request, peer, runningForMs(), bootstrap);
    if (refusal !== undefined) throw bootstrapClosed(refusal);
  }

  return {
    get: visible,
    page: store.page,
    expectFirst,
    async create(wishes, by) {
      const nowMs = clock.nowMs();
      const terms = termsWithin(by, wishes, nowMs, settings.maxKeyLifetimeMs);
      const minted = mintKey(terms, makerFor(by), nowMs);
      await store.create(minted.row);
      ring.reload();
      return minted;
    },
    async createFirst(wishes, request, peer) {
      expectFirst(request, peer);
      const terms = termsOf(wishes, "admin", clock.nowMs(), settings.maxKeyLifetimeMs);
      const minted = mintKey(terms, "bootstrap", clock.nowMs());
      if (!(await store.createFirst(minted.row))) throw unauthorized(KEYS_EXIST);
      ring.reload();
      return minted;
    },
    async revoke(id, by) {
      visible(id, by);
      await store.revoke(id, clock.nowMs());
      ring.reload();
      return visible(id, by);
    },
    async rotate(id, graceMs, by) {
      const target = visible(id, by);
      // Whoever rotates gets the secret, so rotating must not give more than minting does.
      if (target.id !== by.keyId) requireScopesWithin(by, target.scopes);
      const { secret, text } = renewKey(id);
      const row = await store.rotate(id, secret, graceMs, clock.nowMs());
      if (!row) {
        throw new GatewayError(
          "NOT_FOUND",
          `Key "${id}" is revoked or has expired; create a new one`,
        );
      }
      ring.reload();
      return { text, row };
    },
  };
}

const KEYS_EXIST =
  "Keys exist already: send one that may create keys in the X-API-Key header. Lost it? Run " +
  "`npm run switchyard -- keys create --name <name> --preset admin` on the gateway's machine.";

function bootstrapClosed(refusal: string): GatewayError {
  return new GatewayError("BOOTSTRAP_CLOSED", `The first key cannot be created: ${refusal}`, {
    details: {
      hint: "On the gateway's machine run `npm run switchyard -- keys create --name <name>`.",
    },
  });
}
