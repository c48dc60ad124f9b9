/**
 * @module
 * Everything a plugin author imports. Nothing else in `core/` is public.
 */
export { type Static, Type as t } from "@sinclair/typebox";
export { BackendError, type BackendErrorCode, type BackendErrorOptions } from "./errors.ts";
export { AUDIO_FORMATS, type AudioFormat } from "./formats.ts";
export type {
  BackendSocket,
  HttpClient,
  JsonOptions,
  RawOptions,
  RequestOptions,
} from "./http.ts";
export * as inputs from "./inputs.ts";
export type {
  Artifact,
  ArtifactBody,
  ArtifactOptions,
  FileReference,
  InputFile,
  Job,
} from "./job.ts";
export { ndjson } from "./ndjson.ts";
export { editDistance, nearest } from "./nearest.ts";
export type {
  AnyCapability,
  AnyPlugin,
  Capability,
  Context,
  Endpoint,
  Health,
  Logger,
  ModelEntry,
  Plugin,
  Resident,
  Route,
  Transport,
  VramCost,
} from "./plugin.ts";
export { API_VERSION, definePlugin } from "./plugin.ts";
export { type PollOptions, poll } from "./poll.ts";
export { matches, mismatch } from "./shape.ts";
