/** The settings as the SDK's Gradio adapter takes them, and what a request is by them. */
import { FILE_KINDS, type GradioApp, type GradioOutput, gradioApp } from "switchyard/sdk";
import type { Settings } from "./settings.ts";

export type Request = Readonly<Record<string, unknown>>;

export const program = gradioApp<Settings, unknown>(appOf);

function appOf(config: Settings): GradioApp<Settings, unknown> {
  const params = Object.values(config.params);
  const names = (wanted: boolean): string[] =>
    params
      .filter(({ required = false }) => required === wanted)
      .map(({ to }) => spellings(to).name);
  const { login, collect, failed_when, newest_gradio, page_title, options, cancel } = config;
  return {
    title: config.program,
    endpoint: config.endpoint,
    needs: [...new Set([...config.needs, ...names(true)])],
    takes: names(false),
    aliases: Object.fromEntries(
      params.map(({ to }) => [spellings(to).name, spellings(to).others] as const),
    ),
    pinned: config.fixed,
    arguments: (input) => valuesOf(input as Request, config),
    outputs: outputsOf(config.outputs),
    cancel:
      cancel.mode === "interrupt"
        ? { kind: cancel.mode, endpoint: cancel.endpoint ?? "" }
        : { kind: cancel.mode },
    stages: config.stages,
    streamIdleMs: config.stream_idle_ms,
    ...(page_title === undefined ? {} : { pageTitle: page_title }),
    ...(options === undefined ? {} : { options }),
    ...(login === undefined ? {} : { login }),
    ...(collect && { collect: { ...collect, outputs: outputsOf(collect.outputs) } }),
    failure: (returned) =>
      failed_when === undefined
        ? undefined
        : returned.filter((it) => typeof it === "string").find((it) => it.includes(failed_when)),
    refuse: ({ major, version }) =>
      newest_gradio !== undefined && major > newest_gradio
        ? `${config.program} runs on Gradio ${newest_gradio} at most, and this is ${version}`
        : undefined,
  };
}

function spellings(to: string | readonly string[]): { name: string; others: readonly string[] } {
  const [name = "", ...others] = [to].flat();
  return { name, others };
}

const outputsOf = (outputs: Settings["outputs"]): GradioOutput[] =>
  outputs.map(({ return: at, ...rest }) => ({ at, ...rest }));

function valuesOf(input: Request, { params }: Settings): Record<string, unknown> {
  const entries = Object.entries(params).map(([field, { to, cast, or = "", default: usual }]) => {
    return [spellings(to).name, castTo(cast, input[field] ?? input[or] ?? usual)] as const;
  });
  return Object.fromEntries(entries);
}

/** Fields that go to some parameter, and those that every request has. */
export function takenBy({ params, capability }: Settings): string[] {
  const { properties, required = [] } = FILE_KINDS[capability].input;
  const named = Object.entries(params).flatMap(([field, { or }]) => [field, or ?? field]);
  const taken = new Set([...named, ...required, "format", "options"]);
  return Object.keys(properties).filter((field) => taken.has(field));
}

/** `auto` leaves it to the adapter, which knows what the server declares. */
function castTo(cast: "auto" | "integer" | "text" | undefined, value: unknown): unknown {
  if (cast === "text" && typeof value === "number") return String(value);
  return cast === "integer" && typeof value === "number" ? Math.round(value) : value;
}

/** Why the request cannot work: a field that the program cannot do without. */
export function missingFrom(request: Request, { params, program }: Settings): string | undefined {
  const missing = Object.entries(params).find(
    ([field, { required, or = "", default: usual }]) =>
      required && (request[field] ?? request[or] ?? usual) === undefined,
  );
  return missing && `${program} needs ${missing[0]}`;
}
