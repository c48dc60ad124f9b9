export {
  type Admission,
  createAdmission,
  type Granted,
  type Lease,
  type LeaseEnd,
  type LeaseRequest,
  type Shortage,
} from "./admission.ts";
export { type CostBook, createCostBook } from "./costs/cost-book.ts";
export type { DeviceSettings } from "./inspector.ts";
export { loadPolicy } from "./policy/load.ts";
export type { Policy } from "./policy/policy.ts";
export type { BackendPort, ProcessPort } from "./ports.ts";
export { type DeviceProbeSettings, openProbes, type Probe } from "./probes/mod.ts";
export { vramRoutes } from "./routes.ts";
export type { SchedulerSettings } from "./scheduler.ts";
export { schedulingPort } from "./scheduling.ts";
export { createCostStore } from "./store.ts";
export { createVram, type Vram } from "./vram.ts";
