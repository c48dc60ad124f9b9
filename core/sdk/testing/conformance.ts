/**
 * The conformance suite: what the kernel relies on, checked for every plugin against its fake. It
 * runs under `bun test`, `deno test` and `node --test`.
 */
import { describe, test } from "node:test";
import type { AnyPlugin } from "../plugin.ts";
import type { PluginCases } from "./cases.ts";
import { conformanceRules, RULE_MS } from "./rules.ts";

/** Registers one test for each rule. */
export function testPlugin(plugin: AnyPlugin, cases: PluginCases): void {
  describe(`${plugin.name} conforms`, () => {
    for (const { name, skip, check } of conformanceRules(plugin, cases)) {
      if (skip === undefined) test(name, { timeout: RULE_MS }, () => check());
      else test(`${name} (does not apply: ${skip})`, { skip: true }, () => {});
    }
  });
}
