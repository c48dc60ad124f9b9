/** What cannot be right in the settings, whatever a request brings. */
import { isAbsolute } from "node:path";
import { FILE_KINDS } from "switchyard/sdk";
import type { Settings } from "./settings.ts";
import { FOLDERS, namesIn, templatesOf } from "./template.ts";

/** What the operator has to change; undefined when the settings make sense. */
export function mistakeIn(config: Settings): string | undefined {
  const { capability, command, options, env, cwd } = config;
  const [program] = command;
  if (typeof program !== "string" || program === "") return "command must name a program first";
  if (namesIn(program).length > 0)
    return "command must begin with a program, not with a request's text";
  const known = FILE_KINDS[capability].input.properties;
  const isKnown = (name: string): boolean => {
    const [field = "", option] = name.split(".");
    if (field === "options") return option !== undefined && Object.hasOwn(options, option);
    return option === undefined && (FOLDERS.has(field) || Object.hasOwn(known, field));
  };
  const stray = [...templatesOf(config).flatMap(namesIn), ...config.required].find(
    (it) => !isKnown(it),
  );
  if (stray !== undefined) return `{{${stray}}} is no field of ${capability} and no option`;
  const place = command.flat().find((it) => makesPath(it, config));
  if (place !== undefined) {
    return `"${place}" makes a path of a request's text: give the text an argument of its own`;
  }
  if (Object.values(env).some((value) => namesIn(value).length > 0)) return "env takes no {{…}}";
  if (cwd !== undefined && !isAbsolute(cwd)) return "cwd must be a full path";
  const pattern = patternsOf(config).find((it) => !isPattern(it));
  return pattern === undefined ? undefined : `"${pattern}" is no regular expression`;
}

/** Numbers lead nowhere, and a file of the request has a name of ours. */
function makesPath(template: string, { capability, options }: Settings): boolean {
  const { properties } = FILE_KINDS[capability].input;
  const isText = (name: string): boolean => {
    const [field = "", option = ""] = name.split(".");
    const { type } = Object(field === "options" ? options[option] : Object(properties)[field]);
    return type === "string";
  };
  const names = namesIn(template);
  return names.some((name) => name === "in" || name === "out") && names.some(isText);
}

function patternsOf({ progress }: Settings): string[] {
  return progress.flatMap(({ pattern, title = "", after = "" }) => [pattern, title, after]);
}

function isPattern(source: string): boolean {
  try {
    return new RegExp(source) !== undefined;
  } catch {
    return false;
  }
}
