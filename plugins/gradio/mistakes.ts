/** What cannot be right in the settings, whatever a request brings. */
import { FILE_KINDS } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

/** What the operator has to change; undefined when the settings make sense. */
export function mistakeIn(config: Settings): string | undefined {
  const { capability, params, cost, fixed, cancel, outputs, collect, options = [] } = config;
  const known = FILE_KINDS[capability].input.properties;
  const others = Object.values(params).map(({ or }) => or);
  const fields = [...Object.keys(params), ...others, cost?.size].filter((it) => it !== undefined);
  if (fields.length === 0) return "params must say where a field of a request goes";
  const stray = fields.find((field) => !Object.hasOwn(known, field) || field === "options");
  if (stray !== undefined) return `${stray} is no field of ${capability}`;
  const targets = Object.values(params).map(({ to }) => [to].flat()[0] ?? "");
  const taken = [...Object.keys(fixed), ...options];
  const twice = [...targets, ...taken].find((name, at, all) => all.indexOf(name) !== at);
  if (twice !== undefined) return `the parameter ${twice} is filled in twice`;
  if (cancel.mode === "interrupt" && cancel.endpoint === undefined) {
    return "cancel.mode interrupt wants cancel.endpoint";
  }
  const all = [...outputs, ...(collect?.outputs ?? [])];
  return all.length === 0 ? "outputs must name a returned value" : undefined;
}
