/** Keys in the database. Changes are durable when their promise settles, except `touch`. */
import { and, count, desc, eq, gt, isNull, lt, or, sql } from "drizzle-orm";
import { type Database, tables } from "../storage/mod.ts";
import { hashSecret } from "./keys.ts";
import type { KeyLimits } from "./principal.ts";

const { keys } = tables;

export type KeyRow = typeof keys.$inferSelect;

/**
 * Who made a key. `parent`: a key without `keys:admin` made it; such a sub-key is revoked together
 * with its parent and also spends the parent's request rate.
 */
export type Maker = "bootstrap" | "cli" | `key:${string}` | `parent:${string}`;

/** What a new key may do and for how long. */
export interface Terms {
  readonly name: string;
  readonly scopes: readonly string[];
  /** Absent members follow the gateway's configured defaults. */
  readonly limits: Partial<KeyLimits>;
  /** Wall clock; null: never. */
  readonly expiresAt: number | null;
}

export interface KeyStore {
  create(row: KeyRow): Promise<void>;
  /** False when a key, even a revoked one, exists: decided in the same transaction. */
  createFirst(row: KeyRow): Promise<boolean>;
  get(id: string): KeyRow | undefined;
  all(): KeyRow[];
  /** Newest first, after the key `after` where given. */
  page(limit: number, after?: string): KeyRow[];
  /** Also revokes its sub-keys. How many keys it ended: 0 when there was none to revoke. */
  revoke(id: string, nowMs: number): Promise<number>;
  /** Undefined when there is no usable key with this id. */
  rotate(id: string, secret: string, graceMs: number, nowMs: number): Promise<KeyRow | undefined>;
  /** Notes the use, without waiting and without an fsync: losing it costs nothing. */
  touch(id: string, nowMs: number): void;
  count(): number;
  /** Sub-keys of this key that are not revoked. */
  countSubKeys(parentId: string): number;
  /** Changes when another connection, such as the CLI's, has committed something. */
  foreignVersion(): number;
}

export function createKeyStore(database: Database): KeyStore {
  const { queries } = database;
  const dataVersion = database.sqlite.prepare("PRAGMA data_version");

  function get(id: string): KeyRow | undefined {
    return queries.select().from(keys).where(eq(keys.id, id)).get();
  }

  function total(): number {
    return queries.select({ total: count() }).from(keys).get()?.total ?? 0;
  }

  return {
    get,
    count: total,
    all: () => queries.select().from(keys).orderBy(desc(keys.createdAt), desc(keys.id)).all(),

    create: (row) =>
      database.write(() => {
        queries.insert(keys).values(row).run();
      }),

    createFirst: (row) =>
      database.write(() => {
        if (total() > 0) return false;
        queries.insert(keys).values(row).run();
        return true;
      }),

    page(limit, after) {
      const last = after === undefined ? undefined : get(after);
      const older = last && [
        lt(keys.createdAt, last.createdAt),
        and(eq(keys.createdAt, last.createdAt), lt(keys.id, last.id)),
      ];
      return queries
        .select()
        .from(keys)
        .where(older && or(...older))
        .orderBy(desc(keys.createdAt), desc(keys.id))
        .limit(limit)
        .all();
    },

    revoke: (id, nowMs) =>
      database.write(
        () =>
          queries
            .update(keys)
            .set({ revokedAt: nowMs })
            .where(
              and(or(eq(keys.id, id), eq(keys.createdBy, subKeyOf(id))), isNull(keys.revokedAt)),
            )
            .returning({ id: keys.id })
            .all().length,
        { essential: true },
      ),

    rotate: (id, secret, graceMs, nowMs) =>
      database.write(() =>
        queries
          .update(keys)
          .set({
            hash: hashSecret(secret),
            previousHash: graceMs > 0 ? sql`${keys.hash}` : null,
            previousExpiresAt: graceMs > 0 ? nowMs + graceMs : null,
          })
          .where(and(eq(keys.id, id), usableAt(nowMs)))
          .returning()
          .get(),
      ),

    touch(id, nowMs) {
      const written = database.write(
        () => {
          queries.update(keys).set({ lastUsedAt: nowMs }).where(eq(keys.id, id)).run();
        },
        { durable: false },
      );
      // A full disk must not turn a request that was admitted into an unhandled rejection.
      written.catch(() => {});
    },

    countSubKeys(parentId) {
      const found = queries
        .select({ total: count() })
        .from(keys)
        .where(and(eq(keys.createdBy, subKeyOf(parentId)), isNull(keys.revokedAt)))
        .get();
      return found?.total ?? 0;
    },

    foreignVersion: () => Number(dataVersion.get()?.data_version),
  };
}

const subKeyOf = (parentId: string): Maker => `parent:${parentId}`;

const usableAt = (nowMs: number) =>
  and(isNull(keys.revokedAt), or(isNull(keys.expiresAt), gt(keys.expiresAt, nowMs)));
