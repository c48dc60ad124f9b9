/** Command-line programs as backends: one process per job, which outlives the gateway. */
export { argument } from "./argv.ts";
export { command } from "./command.ts";
export type {
  CommandDone,
  CommandEnd,
  CommandFolders,
  CommandNeeds,
  CommandOutput,
  CommandPlan,
  CommandSpec,
  PlannedJob,
  ProgressRule,
} from "./types.ts";
