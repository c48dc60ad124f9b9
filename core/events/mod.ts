export { type Bus, createBus } from "./bus.ts";
export type { BackendStatus, EventMap, JobEvent, JobEventType } from "./event-map.ts";
