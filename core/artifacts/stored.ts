/** An artifact as the rest of the kernel knows it. */
import type { Artifact } from "../sdk/job.ts";
import type { ArtifactRow } from "./store.ts";

export interface StoredArtifact extends Artifact {
  readonly jobId: string;
  /** Public id of the key that owns it. */
  readonly keyId: string;
  readonly role: ArtifactRow["role"];
  /** Under which its bytes lie; several artifacts may have the same. */
  readonly blobId: string;
  /** Wall-clock milliseconds. */
  readonly createdAtMs: number;
  /** Undefined: kept until its job is removed. */
  readonly expiresAtMs?: number;
}

export function fromRow({ createdAt, expiresAt, ...row }: ArtifactRow): StoredArtifact {
  return {
    ...row,
    url: `/artifacts/${row.id}`,
    createdAtMs: createdAt,
    ...(expiresAt === null ? {} : { expiresAtMs: expiresAt }),
  };
}
