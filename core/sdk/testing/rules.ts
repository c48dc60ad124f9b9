/** All rules of the conformance suite; whoever runs them decides how. */
import type { AnyPlugin } from "../plugin.ts";
import type { PluginCases, Rule } from "./cases.ts";
import { manifestRules } from "./manifest-rules.ts";
import { memoryRules } from "./memory-rules.ts";
import { runRules } from "./run-rules.ts";
import { serverRules } from "./server-rules.ts";

/** Longest time for one rule; each of its waits has a bound of its own below this. */
export const RULE_MS = 120_000;

/** Every rule for this plugin; those that do not apply say why in `skip`. */
export function conformanceRules(plugin: AnyPlugin, cases: PluginCases): readonly Rule[] {
  const subject = { plugin, cases };
  return [
    ...manifestRules(subject),
    ...serverRules(subject),
    ...memoryRules(subject),
    ...runRules(subject),
  ];
}

/** Those that look at the manifest alone. */
export function rulesWithoutServer(plugin: AnyPlugin, cases: PluginCases): readonly Rule[] {
  return manifestRules({ plugin, cases });
}
