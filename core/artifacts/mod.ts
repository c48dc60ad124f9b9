export {
  type Artifacts,
  type ArtifactsOptions,
  createArtifacts,
  type PutRequest,
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
export { type FoundFfmpeg, findFfmpeg } from "./ffmpeg.ts";
export { createFsBlobs, type FsBlobsOptions } from "./fs-blobs.ts";
export type { Incoming, Inputs, Upload } from "./inputs.ts";
export { type ArtifactAccess, artifactRoutes } from "./routes.ts";
export { type ArtifactWire, artifactSchema, artifactToWire, exampleArtifact } from "./schema.ts";
export type { StoredArtifact } from "./stored.ts";
