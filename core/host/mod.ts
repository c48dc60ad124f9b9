export { type Backend, currentBackend } from "./backend.ts";
export {
  type Catalogue,
  createCatalogue,
  type Resolved,
  requestSchema,
} from "./catalogue.ts";
export { endpointRoutes } from "./endpoints.ts";
export type { ConversionPort } from "./formats.ts";
export { accepts } from "./health.ts";
export { checkBackends, type Host, openHost } from "./host.ts";
export { builtInPlugins, type LoadedPlugin, loadPlugin } from "./load.ts";
export { checkManifest } from "./manifest.ts";
export { modelsRoutes } from "./models-routes.ts";
export type { Choice } from "./placement.ts";
export { createRouteClaims, RESERVED } from "./route-claims.ts";
export { backendRoutes, backendToWire } from "./routes.ts";
export type { Offer, Service } from "./services.ts";
