export {
  type Artifacts,
  type ArtifactsOptions,
  createArtifacts,
  type PutRequest,
  type StoredArtifact,
  type Swept,
} from "./artifacts.ts";
export type {
  BlobBody,
  BlobEntry,
  BlobStore,
  ByteRange,
  WriteLimits,
  WrittenBlob,
} from "./blobs.ts";
export { createFsBlobs, type FsBlobsOptions } from "./fs-blobs.ts";
export { type ArtifactAccess, artifactRoutes } from "./routes.ts";
export { type ArtifactWire, artifactSchema, artifactToWire, exampleArtifact } from "./schema.ts";
