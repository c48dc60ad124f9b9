/**
 * The conformance suite: what the kernel relies on, checked for every plugin against its fake. It
 * runs under `bun test`, `deno test` and `node --test`.
 */
import { describe, test } from "node:test";
import type { AnyPlugin } from "../plugin.ts";
import type { PluginCases, Rule } from "./cases.ts";
import { manifestRules } from "./manifest-rules.ts";
import { memoryRules } from "./memory-rules.ts";
import { runRules } from "./run-rules.ts";
import { serverRules } from "./server-rules.ts";

/** Longest time for one rule; each of its waits has a bound of its own below this. */
const RULE_MS = 120_000;

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

/** Registers one test for each rule. */
export function testPlugin(plugin: AnyPlugin, cases: PluginCases): void {
  describe(`${plugin.name} conforms`, () => {
    for (const { name, skip, check } of conformanceRules(plugin, cases)) {
      if (skip === undefined) test(name, { timeout: RULE_MS }, () => check());
      else test(`${name} (does not apply: ${skip})`, { skip: true }, () => {});
    }
  });
}
