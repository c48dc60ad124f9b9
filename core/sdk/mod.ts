/**
 * @module
 * Everything a plugin author imports. Nothing else in `core/` is public.
 */
export { type Static, Type as t } from "@sinclair/typebox";
export {
  type Choice,
  type ChosenTransport,
  type Evidence,
  evidenceAt,
  oneOf,
  type Variant,
} from "./detect/mod.ts";
export { BackendError, type BackendErrorCode, type BackendErrorOptions } from "./errors.ts";
export {
  costOf,
  declaredCost,
  declaredOptions,
  FILE_KINDS,
  type FileKind,
  fileCapabilities,
  fileKind,
  optionsOf,
} from "./file-work.ts";
export { AUDIO_FORMATS, type AudioFormat } from "./formats.ts";
export {
  type GradioApp,
  type GradioArguments,
  type GradioCall,
  type GradioCancel,
  type GradioOutput,
  type GradioParameter,
  type GradioServer,
  type GradioStage,
  type GradioValue,
  gradioApp,
} from "./gradio/mod.ts";
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
export {
  namesIn,
  type RestJob,
  type RestResult,
  type RestStatus,
  type RestSubmit,
  restJob,
  type Template,
  type Values,
} from "./rest-job/mod.ts";
export { seedOf } from "./seed.ts";
export { splitSentences } from "./sentences.ts";
export { matches, mismatch } from "./shape.ts";
export { isShutdown } from "./shutdown.ts";
export {
  argument,
  type CommandDone,
  type CommandEnd,
  type CommandFolders,
  type CommandNeeds,
  type CommandOutput,
  type CommandPlan,
  type CommandSpec,
  command,
  type PlannedJob,
  type ProgressRule,
} from "./subprocess/mod.ts";
export { joinWav, readWav, type Wav } from "./wav.ts";
