/** The configuration: one strict file, every problem at once. See docs/operations.md. */
export type { Environment } from "./expand.ts";
export { jsonSchema, type PluginSettings } from "./json-schema.ts";
export {
  type BackendSettings,
  configPath,
  type LoadedConfig,
  type LoadOptions,
  loadConfig,
} from "./load.ts";
export { formatProblem, formatProblems, type Problem } from "./problems.ts";
export { type BackendConfig, BackendSchema, type GatewayConfig, GatewaySchema } from "./schema.ts";
export { type ConfigWatch, watchConfig } from "./watch.ts";
