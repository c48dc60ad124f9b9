/** The rows of artifacts. A row follows its file, so that what a client can see is whole. */
import { asc, eq, inArray, lte } from "drizzle-orm";
import { type Database, tables } from "../storage/mod.ts";

export type ArtifactRow = typeof tables.artifacts.$inferSelect;

export interface ArtifactStore {
  /** False, and nothing is written, when the fence says so inside the transaction. */
  insert(row: ArtifactRow, fence: () => boolean): Promise<boolean>;
  get(id: string): ArtifactRow | undefined;
  /** Oldest first. */
  ofJob(jobId: string): ArtifactRow[];
  /** Ids of rows whose time has come. */
  expired(nowMs: number, limit: number): string[];
  /** Those of the ids that have a row. */
  known(ids: readonly string[]): Set<string>;
  remove(ids: readonly string[]): Promise<void>;
}

const { artifacts } = tables;

export function createArtifactStore({ queries, write }: Database): ArtifactStore {
  return {
    insert: (row, fence) =>
      write(() => {
        if (!fence()) return false;
        queries.insert(artifacts).values(row).run();
        return true;
      }),
    get: (id) => queries.select().from(artifacts).where(eq(artifacts.id, id)).get(),
    ofJob: (jobId) =>
      queries
        .select()
        .from(artifacts)
        .where(eq(artifacts.jobId, jobId))
        .orderBy(asc(artifacts.id))
        .all(),
    expired: (nowMs, limit) =>
      queries
        .select({ id: artifacts.id })
        .from(artifacts)
        .where(lte(artifacts.expiresAt, nowMs))
        .limit(limit)
        .all()
        .map(({ id }) => id),
    known: (ids) =>
      new Set(
        queries
          .select({ id: artifacts.id })
          .from(artifacts)
          .where(inArray(artifacts.id, [...ids]))
          .all()
          .map(({ id }) => id),
      ),
    // Deleting must work on a full disk: it is what frees it.
    remove: (ids) =>
      write(
        () => {
          queries
            .delete(artifacts)
            .where(inArray(artifacts.id, [...ids]))
            .run();
        },
        { essential: true },
      ),
  };
}
