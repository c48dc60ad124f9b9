/** What a request asks of a workflow's parameters: which it may set, and to which values. */
import { inputs, matches, seedOf } from "switchyard/sdk";
import { FIELDS, tokenOf } from "./fields.ts";
import type { Request } from "./input.ts";
import { namesProblem } from "./names.ts";
import { type Parameter, Scalar, type Workflow } from "./workflow.ts";

export type Values = Readonly<Record<string, Scalar>>;

/** The values that the request itself gives. */
export function givenValues(request: Request): Values {
  const given: Record<string, Scalar> = { ...request.options };
  for (const name of FIELDS) {
    const value = request[name];
    // A picture is its reference until ComfyUI has it under a name of its own.
    if (value !== undefined) given[name] = typeof value === "object" ? value.artifact_id : value;
  }
  return given;
}

/** Why the workflow cannot take these values. Dropping one in silence would surprise. */
export function valuesProblem(workflow: Workflow, request: Request): string | undefined {
  const { name, params } = workflow;
  const twice = FIELDS.find((field) => request.options?.[field] !== undefined);
  if (twice) return `options.${twice}: write it as the field "${twice}" of the request itself`;
  const own = Object.keys(params).filter((param) => !FIELDS.some((field) => field === param));
  for (const param of Object.keys(request.options ?? {})) {
    const problem = namesProblem(`option of workflow "${name}"`, param, own);
    if (problem) return problem;
  }
  for (const [param, value] of Object.entries(givenValues(request))) {
    const parameter = params[param];
    // Every request has a prompt, also for a graph that draws without one.
    if (!parameter && param === "prompt") continue;
    if (!parameter) return `${param} has no meaning in workflow "${name}"; leave it out`;
    const problem = valueProblem(parameter, value);
    if (problem) return `${param} ${problem} in workflow "${name}", got ${JSON.stringify(value)}`;
  }
  const values = Object.entries(allValues(workflow, request));
  const lacking = values.find(([param, v]) => params[param]?.type === "image" && v === "");
  if (lacking) return `workflow "${name}" starts from a picture; send it as ${lacking[0]}`;
  const open = values.find(([, v]) => tokenOf(v));
  return open && `the graph asks for {{${open[0]}}}, so the request must have "${open[0]}"`;
}

function valueProblem({ type, min, max, options }: Parameter, value: Scalar): string | undefined {
  const plain = type === "image" ? "string" : type;
  const isRight = type === "integer" ? Number.isInteger(value) : typeof value === plain;
  if (!isRight) return `must be of type ${type}`;
  if (options && !options.includes(value)) return `must be one of ${options.join(", ")}`;
  if (typeof value !== "number") return undefined;
  if (min !== undefined && value < min) return `must be at least ${min}`;
  return max !== undefined && value > max ? `must be at most ${max}` : undefined;
}

/** Every parameter's value: given, else its default, else what the graph holds. */
export function allValues({ params, graph }: Workflow, request: Request, jobId = ""): Values {
  const values: Record<string, Scalar> = {};
  const given = givenValues(request);
  for (const [name, { default: fallback, targets, max }] of Object.entries(params)) {
    const [[node, input] = ["", ""]] = targets;
    const chosen =
      fallback === "random"
        ? seedOf(`${jobId} ${name}`, Math.min(max ?? inputs.MAX_SEED, inputs.MAX_SEED))
        : fallback;
    const value = given[name] ?? chosen ?? graph[node]?.inputs[input];
    if (matches(Scalar, value)) values[name] = value;
  }
  return values;
}
