/**
 * What a request becomes: the graph to send, what it costs, and what its pictures are labelled
 * with.
 */
import { BackendError, type VramCost } from "switchyard/sdk";
import type { Request } from "./input.ts";
import {
  mainModel,
  pixelsOf,
  problemOf,
  type RequestSettings,
  weightsOf,
  workflowOf,
} from "./request.ts";
import { allValues } from "./values.ts";
import type { Graph } from "./workflow.ts";

export interface Plan {
  readonly graph: Graph;
  /** Ids of the nodes whose files are the result; empty for all. */
  readonly output: readonly string[];
  /** For the client: which workflow, model, seed and size made the pictures. */
  readonly labels: Readonly<Record<string, unknown>>;
}

/**
 * `picture`: the name that ComfyUI gave the request's. Throws BACKEND_REJECTED when an edited
 * template no longer fits an accepted request.
 */
export function planOf(
  request: Request,
  settings: RequestSettings,
  { id, attempt }: { readonly id: string; readonly attempt: number },
  picture?: string,
): Plan {
  const problem = problemOf(request, settings);
  const workflow = workflowOf(request, settings);
  if (problem !== undefined || !workflow) {
    throw new BackendError("BACKEND_REJECTED", problem ?? "the request names no workflow");
  }
  const all = allValues(workflow, request, id);
  const values = picture === undefined ? all : { ...all, init_image: picture };
  const graph = structuredClone(workflow.graph);
  for (const [name, { targets }] of Object.entries(workflow.params)) {
    for (const [node, input] of targets) {
      const inputs = graph[node]?.inputs;
      if (inputs && name in values) inputs[input] = values[name];
    }
  }
  // ComfyUI gives an unchanged graph its old file names back, even of files that are gone.
  const prefix = `switchyard/${id}${attempt > 1 ? `-${attempt}` : ""}`;
  for (const { inputs } of Object.values(graph)) {
    if (Object.hasOwn(inputs, "filename_prefix")) inputs.filename_prefix = prefix;
  }
  const { seed, width, height } = values;
  const model = values.model ?? mainModel(workflow);
  const labels = { workflow: workflow.name, model, seed, width, height };
  return { graph, output: workflow.output, labels };
}

/** Part of the working memory that is needed at any size. */
const FIXED_SHARE = 0.25;

/**
 * Same request, same cost. Most of the working memory grows with the number of pixels; the time with
 * pixels x steps. How long a step takes depends on the card, so no time is declared.
 */
export function costOf(request: Request, settings: RequestSettings): VramCost {
  const workflow = workflowOf(request, settings);
  if (!workflow) return { model: "none", residentMiB: 0, workingMiB: 0 };
  const usual = pixelsOf(workflow, { prompt: "" });
  const pixels = pixelsOf(workflow, request);
  const scale = usual > 0 ? pixels / usual : 1;
  const size = pixels * Number(allValues(workflow, request).steps ?? 1);
  return {
    model: weightsOf(workflow, request),
    ...(size > 0 ? { size } : {}),
    residentMiB: workflow.resident_mib,
    workingMiB: Math.ceil(workflow.working_mib * (FIXED_SHARE + (1 - FIXED_SHARE) * scale)),
  };
}
