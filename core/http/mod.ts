export { createHttp, type HttpApp, type HttpOptions } from "./app.ts";
export { healthRoutes } from "./health.ts";
export { documentationRoutes } from "./openapi.ts";
export * from "./route.ts";
