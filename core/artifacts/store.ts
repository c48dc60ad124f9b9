/** The rows of artifacts. A row follows its file, so that what a client can see is whole. */
import { and, asc, eq, inArray, lte, type SQL, sql } from "drizzle-orm";
import { type Database, tables } from "../storage/mod.ts";

export type ArtifactRow = typeof tables.artifacts.$inferSelect;

export interface ArtifactStore {
  /** False, and nothing is written, when the fence says so inside the transaction. */
  insert(row: ArtifactRow, fence: () => boolean): Promise<boolean>;
  /** Inside a transaction of somebody else's. */
  insertNow(row: ArtifactRow): void;
  get(id: string): ArtifactRow | undefined;
  /** Oldest first. */
  ofJob(jobId: string): ArtifactRow[];
  /** Whether the job that the file was sent with has not ended: it is kept, whatever its time. */
  isHeld(row: ArtifactRow): boolean;
  /** Ids of rows whose time has come. */
  expired(nowMs: number, limit: number): string[];
  /** Those of the blobs that some row has. */
  known(blobIds: readonly string[]): Set<string>;
  /** Settles with the blobs that no row has any more. */
  remove(ids: readonly string[]): Promise<string[]>;
}

const { artifacts, jobs } = tables;
/** Of an input whose job has not ended. */
const HELD: SQL = sql`${artifacts.role} = 'input' AND EXISTS (SELECT 1 FROM ${jobs}
  WHERE ${jobs.id} = ${artifacts.jobId} AND ${jobs.status} IN ('pending', 'running'))`;

export function createArtifactStore({ queries, write }: Database): ArtifactStore {
  const insertNow = (row: ArtifactRow): void => void queries.insert(artifacts).values(row).run();
  const known = (blobIds: readonly string[]): Set<string> =>
    new Set(
      queries
        .select({ blobId: artifacts.blobId })
        .from(artifacts)
        .where(inArray(artifacts.blobId, [...blobIds]))
        .all()
        .map(({ blobId }) => blobId),
    );

  return {
    insert: (row, fence) =>
      write(() => {
        if (!fence()) return false;
        insertNow(row);
        return true;
      }),
    insertNow,
    get: (id) => queries.select().from(artifacts).where(eq(artifacts.id, id)).get(),
    ofJob: (jobId) =>
      queries
        .select()
        .from(artifacts)
        .where(eq(artifacts.jobId, jobId))
        .orderBy(asc(artifacts.id))
        .all(),
    isHeld: ({ id }) =>
      queries
        .select({ id: artifacts.id })
        .from(artifacts)
        .where(and(eq(artifacts.id, id), HELD))
        .get() !== undefined,
    expired: (nowMs, limit) =>
      queries
        .select({ id: artifacts.id })
        .from(artifacts)
        .where(and(lte(artifacts.expiresAt, nowMs), sql`NOT (${HELD})`))
        .limit(limit)
        .all()
        .map(({ id }) => id),
    known,
    // Deleting must work on a full disk: it is what frees it.
    remove: (ids) =>
      write(
        () => {
          const removed = queries
            .delete(artifacts)
            .where(inArray(artifacts.id, [...ids]))
            .returning({ blobId: artifacts.blobId })
            .all()
            .map(({ blobId }) => blobId);
          const kept = known(removed);
          return [...new Set(removed)].filter((blobId) => !kept.has(blobId));
        },
        { essential: true },
      ),
  };
}
