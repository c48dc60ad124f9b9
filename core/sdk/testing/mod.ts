/**
 * @module
 * What a plugin author's tests import: the conformance suite, the shape of a fake server, and a job
 * and a context for tests of one's own.
 */
export type { PluginCases, Rule, Word } from "./cases.ts";
export { testPlugin } from "./conformance.ts";
export {
  createTestContext,
  type LogEntry,
  type TestContext,
  type TestContextOptions,
} from "./context.ts";
export { type Behaviour, type Fake, readBehaviour } from "./fake.ts";
export {
  createTestJob,
  type TestArtifact,
  type TestJob,
  type TestJobOptions,
} from "./job.ts";
export { conformanceRules } from "./rules.ts";
export { until, within } from "./wait.ts";
