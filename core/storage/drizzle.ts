/**
 * Drizzle over `node:sqlite`, which runs on Bun and Deno alike. Drizzle 0.45 has no such driver, so
 * its better-sqlite3 session (the class, not the native package) gets a client with that package's
 * surface.
 */
import type { DatabaseSync } from "node:sqlite";
import { BetterSQLiteSession } from "drizzle-orm/better-sqlite3/session";
import { BaseSQLiteDatabase, SQLiteSyncDialect } from "drizzle-orm/sqlite-core";

export type Queries = BaseSQLiteDatabase<"sync", unknown>;

export function drizzleOver(sqlite: DatabaseSync): Queries {
  const dialect = new SQLiteSyncDialect();
  const session = new BetterSQLiteSession(clientOver(sqlite) as never, dialect, undefined);
  return new BaseSQLiteDatabase("sync", dialect, session as never, undefined) as Queries;
}

function clientOver(sqlite: DatabaseSync) {
  return {
    prepare(text: string) {
      const objects = sqlite.prepare(text);
      return {
        run: objects.run.bind(objects),
        get: objects.get.bind(objects),
        all: objects.all.bind(objects),
        raw() {
          const arrays = sqlite.prepare(text);
          arrays.setReturnArrays(true);
          return { get: arrays.get.bind(arrays), all: arrays.all.bind(arrays) };
        },
      };
    },
  };
}
