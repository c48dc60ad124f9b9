export { createJobs, type Jobs, type JobsOptions, type Work } from "./jobs.ts";
export type {
  AdmissionPort,
  ArtifactsPort,
  BackendPort,
  BackendsPort,
  Choice,
  Choices,
  LeaseEnd,
  LeasePort,
  SchedulingPort,
} from "./ports.ts";
export { jobRoutes } from "./routes.ts";
export { createJobSockets, type JobSockets } from "./socket.ts";
export { createEventStreams, type EventStreams } from "./sse.ts";
export { type CataloguePort, type ResolvedWork, type ServicePort, workOf } from "./work.ts";
export { workRoutes } from "./work-routes.ts";
