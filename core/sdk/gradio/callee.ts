/** One endpoint of a Gradio program, with the place of each of its inputs and outputs. */
import { rangeOf, schemaOf } from "./declared.ts";
import { isRecord } from "./records.ts";
import type { GradioParameter } from "./types.ts";
import type { Config, Dependency, Listing, Parameter } from "./wire.ts";

export interface Callee {
  /** "/generate". */
  readonly endpoint: string;
  /** How `/queue/join` names it. */
  readonly fnIndex: number;
  /** Every input in order: those that `/info` hides, such as State, have a value of their own. */
  readonly slots: readonly Slot[];
  readonly parameters: readonly GradioParameter[];
  /** Places of the values that `/info` lists among all that are returned. */
  readonly returns: readonly number[];
  /** Yields more than once, so that Gradio can end it between two of them. */
  readonly isGenerator: boolean;
  readonly isBatch: boolean;
}

export type Slot =
  | { readonly kind: "hidden"; readonly value: unknown }
  | { readonly kind: "parameter"; readonly parameter: GradioParameter };

type Component = Config["components"][number];

/** Without `config` only the parameters are known. A text says what does not fit. */
export function callee(
  config: Config | undefined,
  listing: Listing,
  endpoint: string,
): Callee | string {
  const described = Object.hasOwn(listing.named_endpoints, endpoint)
    ? listing.named_endpoints[endpoint]
    : undefined;
  if (described === undefined) return `it has no endpoint ${endpoint}`;
  const found = config && dependencyOf(config, endpoint);
  if (config !== undefined && found === undefined) return `${endpoint} is in no table of functions`;
  const components = new Map(config?.components.map((component) => [component.id, component]));
  const inputs = (found?.dependency.inputs ?? []).map((id) => components.get(id));
  const visible = inputs.filter((component) => !isHidden(component));
  if (found !== undefined && visible.length !== described.parameters.length) {
    const listed = described.parameters.length;
    return `${endpoint} lists ${listed} parameters and takes ${visible.length}`;
  }
  const parameters = described.parameters.map((parameter, place) =>
    parameterOf(parameter, place, visible[place]),
  );
  const rest = [...parameters];
  const slots = inputs.map((component): Slot => {
    const parameter = isHidden(component) ? undefined : rest.shift();
    return parameter === undefined
      ? { kind: "hidden", value: hiddenValue(component) }
      : { kind: "parameter", parameter };
  });
  const returns = (found?.dependency.outputs ?? []).flatMap((id, place) =>
    isHidden(components.get(id)) ? [] : [place],
  );
  return {
    endpoint,
    fnIndex: found?.fnIndex ?? -1,
    slots,
    parameters,
    returns,
    isGenerator: found?.dependency.types?.generator === true,
    isBatch: found?.dependency.batch === true,
  };
}

function dependencyOf(
  { dependencies }: Config,
  endpoint: string,
): { readonly dependency: Dependency; readonly fnIndex: number } | undefined {
  const place = dependencies.findIndex(({ api_name }) => `/${api_name}` === endpoint);
  const dependency = dependencies[place];
  return dependency && { dependency, fnIndex: dependency.id ?? place };
}

/** Inputs that `/info` leaves out, and that a call must fill in all the same. */
function isHidden(component: Component | undefined): boolean {
  return component?.type === "state" || component?.skip_api === true;
}

/** The server keeps State by session and looks past what stands in its place. */
function hiddenValue(component: Component | undefined): unknown {
  return component?.type === "state" ? null : (component?.props?.value ?? null);
}

function parameterOf(
  parameter: Parameter,
  place: number,
  component: Component | undefined,
): GradioParameter {
  const { parameter_has_default, parameter_default } = parameter;
  const isOpen = component?.props?.allow_custom_value === true;
  // A list of suggestions: other values are welcome.
  const type =
    isOpen && isRecord(parameter.type) ? { ...parameter.type, enum: undefined } : parameter.type;
  return {
    name: parameter.parameter_name ?? `param_${place}`,
    label: parameter.label ?? "",
    component: parameter.component ?? "",
    hasDefault: parameter_has_default === true,
    default: parameter_default ?? null,
    schema: schemaOf(type, rangeOf(type, component?.props)),
  };
}
