/** The settings as the SDK's adapter for commands wants them. */
import { BackendError, command, type FileReference, type ProgressRule } from "switchyard/sdk";
import { mistakeIn } from "./mistakes.ts";
import type { Settings } from "./settings.ts";
import { fillArguments, fillFiles, type Lookup } from "./template.ts";

export type Input = Readonly<Record<string, unknown>>;

export const program = command<Settings, Input>({
  title: "The program",
  needs(config) {
    const [first] = config.command;
    const { cwd, needs: files, env } = config;
    return { program: typeof first === "string" ? first : "", cwd, files, path: env.PATH };
  },
  files: (input) =>
    Object.fromEntries(
      Object.entries(input).flatMap(([name, value]) => (isFile(value) ? [[name, value]] : [])),
    ),
  plan({ id, input }, config, folders) {
    const mistake = mistakeIn(config);
    if (mistake !== undefined)
      throw new BackendError("BACKEND_MISMATCH", `in the settings, ${mistake}`);
    const own: Record<string, string> = { in: folders.in, out: folders.out, job_id: id };
    const lookup = lookupIn(input, config, { ...own, ...folders.files });
    const { cwd, env, output: glob, except, take, preview, quiet, grace_ms: graceMs } = config;
    return {
      argv: fillArguments(config, lookup),
      ...(cwd === undefined ? {} : { cwd }),
      env,
      files: fillFiles(config, lookup),
      outputs: [
        { glob, except, take: take as "newest" | "one" | "all" },
        ...(preview === undefined
          ? []
          : [{ glob: preview, role: "preview" as const, optional: true }]),
      ],
      ...(config.progress.length === 0 ? {} : { progress: config.progress.map(ruleOf) }),
      quiet,
      graceMs,
    };
  },
});

/** The request first, then the operator's word, then an option's own default. */
export function lookupIn(
  input: Input,
  { defaults, options }: Settings,
  paths: Readonly<Record<string, string>> = {},
): Lookup {
  const asked = Object(input.options) as Record<string, unknown>;
  return (name) => {
    const [field = "", option] = name.split(".");
    const value =
      option === undefined
        ? (paths[field] ?? (isFile(input[field]) ? "" : input[field]) ?? defaults[field])
        : (asked[option] ?? options[option]?.default);
    return value === undefined || value === null ? undefined : String(value);
  };
}

function isFile(value: unknown): value is FileReference {
  return typeof value === "object" && value !== null && "artifact_id" in value;
}

function ruleOf({ pattern, title, after, ...rest }: Settings["progress"][number]): ProgressRule {
  return {
    ...rest,
    pattern: pattern === "tqdm" ? "tqdm" : new RegExp(pattern),
    ...(title === undefined ? {} : { title: new RegExp(title, "i") }),
    ...(after === undefined ? {} : { after: new RegExp(after) }),
  };
}
