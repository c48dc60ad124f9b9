/**
 * @module
 * The adapter for servers that take work over REST: submit, ask, fetch, cancel.
 */
export { restJob } from "./rest-job.ts";
export { namesIn } from "./template.ts";
export type {
  HealthCheck,
  Meaning,
  RestCall,
  RestJob,
  Result as RestResult,
  Status as RestStatus,
  Submit as RestSubmit,
  Template,
  TextFile,
  Values,
} from "./types.ts";
