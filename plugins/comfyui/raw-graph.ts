/** A client's own graph, read as a workflow: its `{{tokens}}` are its parameters. */
import { matches } from "switchyard/sdk";
import { type Field, tokenOf } from "./fields.ts";
import { Graph, type Parameter, type Scalar, type Workflow } from "./workflow.ts";

const TYPES: Readonly<Record<Field, Parameter["type"]>> = {
  prompt: "string",
  negative_prompt: "string",
  model: "string",
  width: "integer",
  height: "integer",
  steps: "integer",
  cfg: "number",
  seed: "integer",
  batch: "integer",
  init_image: "image",
  strength: "number",
};

const DEFAULTS: Readonly<Partial<Record<Field, Scalar>>> = {
  negative_prompt: "",
  batch: 1,
  seed: "random",
};

/** Inputs of the usual loaders that name the model file. */
const MODEL_INPUTS = { ckpt_name: "checkpoints", unet_name: "diffusion_models" } as const;

/**
 * Undefined when it is no graph. Its memory is not known, so it counts like the largest `known`.
 */
export function rawWorkflow(graph: unknown, known: Iterable<Workflow>): Workflow | undefined {
  if (!matches(Graph, graph)) return undefined;
  const targets: Partial<Record<Field, [string, string][]>> = {};
  const requires: { checkpoints?: string[]; diffusion_models?: string[] } = {};
  for (const [node, { inputs }] of Object.entries(graph)) {
    for (const [name, value] of Object.entries(inputs)) {
      const field = tokenOf(value);
      if (field) targets[field] = [...(targets[field] ?? []), [node, name]];
      else if (isModelInput(name) && typeof value === "string") {
        const folder = MODEL_INPUTS[name];
        requires[folder] = [...(requires[folder] ?? []), value];
      }
    }
  }
  const params: Record<string, Parameter> = {};
  for (const field of fields(targets)) {
    const fallback = DEFAULTS[field];
    params[field] = {
      type: TYPES[field],
      targets: targets[field] ?? [],
      ...(fallback === undefined ? {} : { default: fallback }),
    };
  }
  const all = [...known];
  const resident_mib = Math.max(0, ...all.map((workflow) => workflow.resident_mib));
  const working_mib = Math.max(0, ...all.map((workflow) => workflow.working_mib));
  return { name: "graph", params, output: [], resident_mib, working_mib, requires, graph };
}

function isModelInput(name: string): name is keyof typeof MODEL_INPUTS {
  return Object.hasOwn(MODEL_INPUTS, name);
}

function fields(record: Partial<Record<Field, unknown>>): Field[] {
  return Object.keys(record).filter((name): name is Field => name in TYPES);
}
