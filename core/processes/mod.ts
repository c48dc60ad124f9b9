/** Backends' processes: started on demand, watched, stopped to free memory, never left behind. */
export { listenerPids } from "./listeners.ts";
export type { ProcessSettings } from "./settings.ts";
export { BACKEND_NAME, CONTAINER_NAME, UNIT_NAME } from "./settings.ts";
export {
  ProcessError,
  type ProcessFailure,
  type ProcessState,
  type StartCause,
  type Supervised,
} from "./state.ts";
export { createSupervisor, type Supervisor, type SupervisorOptions } from "./supervisor.ts";
