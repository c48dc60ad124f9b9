/** Which workflow a request means, and why it can never work. */
import type { Request } from "./input.ts";
import { type LibrarySettings, libraryOf } from "./library.ts";
import { namesProblem } from "./names.ts";
import { rawWorkflow } from "./raw-graph.ts";
import { allValues, valuesProblem } from "./values.ts";
import { graphProblem, type Workflow } from "./workflow.ts";

/** As long as the `model` of a request may be. */
const MAX_NAME = 256;

export interface RequestSettings extends LibrarySettings {
  readonly max_megapixels: number;
}

/** Why this request can never work, or undefined. */
export function problemOf(request: Request, settings: RequestSettings): string | undefined {
  const library = libraryOf(settings);
  if (request.graph) {
    if (request.workflow) return "graph and workflow exclude each other; send one of them";
    if (request.options) return "options belong to a workflow; write the values into the graph";
    const problem = graphProblem(request.graph);
    if (problem) return `graph ${problem}`;
  }
  const workflow = workflowOf(request, settings);
  if (!workflow) {
    const name = request.workflow ?? settings.default_workflow;
    return namesProblem("workflow", name, [...library.workflows.keys()]);
  }
  const problem = valuesProblem(workflow, request);
  if (problem) return problem;
  const megapixels = pixelsOf(workflow, request) / 1e6;
  if (megapixels <= settings.max_megapixels) return undefined;
  return (
    `width x height x batch is ${megapixels.toFixed(1)} megapixels; ` +
    `this backend allows ${settings.max_megapixels}`
  );
}

/**
 * The named workflow, else one made for the named model, else the default one; and of those with the
 * same model one that starts from a picture when the request brings one, or from none.
 */
export function workflowOf(request: Request, settings: LibrarySettings): Workflow | undefined {
  const { workflows } = libraryOf(settings);
  if (request.graph) return rawWorkflow(request.graph, workflows.values());
  if (request.workflow) return workflows.get(request.workflow);
  const fits = ({ params }: Workflow) => !params.init_image === !request.init_image;
  const madeFor = (model: string | undefined): Workflow[] =>
    [...workflows.values()].filter((it) => model !== undefined && mainModel(it) === model);
  const made = madeFor(request.model);
  const usual = made.find(fits) ?? made[0] ?? workflows.get(settings.default_workflow);
  if (!usual || fits(usual)) return usual;
  return madeFor(mainModel(usual)).find(fits) ?? usual;
}

/** The model file in the workflow's own graph. */
export function mainModel(workflow: Workflow): string | undefined {
  const [own] = [
    ...(workflow.requires?.checkpoints ?? []),
    ...(workflow.requires?.diffusion_models ?? []),
  ];
  const [[node, name] = ["", ""]] = workflow.params.model?.targets ?? [];
  const value = workflow.graph[node]?.inputs[name];
  return typeof value === "string" ? value : own;
}

/**
 * What shares one copy in memory: the main model and others that take its part, such as a refiner.
 * Encoders and the VAE belong to it. Different workflows for the same files share one copy.
 */
export function weightsOf(workflow: Workflow, request: Request): string {
  const own = mainModel(workflow);
  const { checkpoints = [], diffusion_models = [] } = workflow.requires ?? {};
  const others = [...checkpoints, ...diffusion_models].filter((file) => file !== own);
  const names = new Set([request.model ?? own ?? workflow.name, ...others]);
  // A graph of a client's own may name anything, as often as it likes.
  return [...names].join(" + ").slice(0, MAX_NAME);
}

/** Width x height x batch of all pictures; 0 when the workflow does not tell. */
export function pixelsOf(workflow: Workflow, request: Request): number {
  const { width = 0, height = 0, megapixels = 0, batch = 1 } = allValues(workflow, request);
  // A workflow that keeps a picture's shape says how large it makes it.
  const pixels = Number(width) * Number(height) || Number(megapixels) * 2 ** 20;
  return pixels * Number(batch);
}
