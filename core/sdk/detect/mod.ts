/**
 * @module
 * What answers at a bare URL, and choosing a server by it.
 */
export { evidenceAt } from "./evidence.ts";
export { oneOf } from "./one-of.ts";
export type {
  Choice,
  ChosenTransport,
  Evidence,
  GradioEvidence,
  OpenApiEvidence,
  Variant,
} from "./types.ts";
