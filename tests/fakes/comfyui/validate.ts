/** Decides about a submitted graph as ComfyUI does: per output node, so that a part may pass. */
import { type Graph, type InputRule, linkOf, type NodeClass } from "./node-classes.ts";

export interface PromptError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: Record<string, unknown>;
}

export interface NodeErrors {
  readonly [node: string]: {
    readonly errors: PromptError[];
    readonly dependent_outputs: string[];
    readonly class_type: string;
  };
}

export type Verdict =
  | { readonly ok: true; readonly outputs: readonly string[]; readonly nodeErrors: NodeErrors }
  | { readonly ok: false; readonly error: PromptError; readonly nodeErrors: NodeErrors };

type Classes = Readonly<Record<string, NodeClass>>;
/** Whether the folder `input` has the file. */
type HasInput = (name: string) => boolean;

export function validate(graph: Graph, classes: Classes, hasInput: HasInput): Verdict {
  for (const [id, { class_type }] of Object.entries(graph)) {
    if (!(class_type in classes))
      return { ok: false, error: unknown(id, class_type), nodeErrors: {} };
  }
  const ends = Object.keys(graph).filter((id) => classes[graph[id]!.class_type]?.isOutput);
  if (ends.length === 0) {
    return {
      ok: false,
      error: plain("prompt_no_outputs", "Prompt has no outputs"),
      nodeErrors: {},
    };
  }
  const nodeErrors: Record<string, NodeErrors[string]> = {};
  const outputs = ends.filter((end) => {
    const bad = upstream(graph, end).filter((id) => {
      const errors = inputErrors(graph, id, classes, hasInput);
      if (errors.length === 0) return false;
      const known = nodeErrors[id]?.dependent_outputs ?? [];
      nodeErrors[id] = {
        errors,
        dependent_outputs: [...known, end],
        class_type: graph[id]!.class_type,
      };
      return true;
    });
    return bad.length === 0;
  });
  if (outputs.length > 0) return { ok: true, outputs, nodeErrors };
  const message = "Prompt outputs failed validation";
  return { ok: false, error: plain("prompt_outputs_failed_validation", message), nodeErrors };
}

/** The node and everything it depends on, dependencies first. */
export function upstream(graph: Graph, end: string): string[] {
  const seen = new Set<string>();
  const ordered: string[] = [];
  const visit = (id: string) => {
    if (seen.has(id) || !graph[id]) return;
    seen.add(id);
    for (const value of Object.values(graph[id].inputs)) {
      const from = linkOf(value);
      if (from) visit(from[0]);
    }
    ordered.push(id);
  };
  visit(end);
  return ordered;
}

function inputErrors(
  graph: Graph,
  id: string,
  classes: Classes,
  hasInput: HasInput,
): PromptError[] {
  const node = graph[id]!;
  const rules = Object.entries(classes[node.class_type]!.inputs);
  return rules.flatMap(([name, rule]) => {
    const value = node.inputs[name];
    if (value === undefined) return [problem("required_input_missing", name, name)];
    const wrong = linkOf(value)
      ? linkError(graph, linkOf(value)!, rule, classes)
      : valueError(name, value, rule, hasInput);
    return wrong ? [problem(wrong[0], wrong[1] || name, name, value)] : [];
  });
}

function linkError(
  graph: Graph,
  [from, slot]: readonly [string, number],
  rule: InputRule,
  classes: Classes,
): [string, string] | undefined {
  const source = graph[from];
  const received = source && classes[source.class_type]!.returns[slot];
  if (!received) return ["bad_linked_input", ""];
  if (rule.kind === "link" && rule.type !== received) return ["return_type_mismatch", ""];
  return undefined;
}

function valueError(
  name: string,
  value: unknown,
  rule: InputRule,
  hasInput: HasInput,
): [string, string] | undefined {
  switch (rule.kind) {
    case "upload":
      if (hasInput(String(value))) return undefined;
      return ["custom_validation_failed", `${name} - Invalid image file: ${value}`];
    case "link":
      return ["bad_linked_input", ""];
    case "choice": {
      if (rule.options.includes(String(value))) return undefined;
      const list = JSON.stringify(rule.options).replaceAll('"', "'");
      return ["value_not_in_list", `${name}: '${value}' not in ${list}`];
    }
    case "INT":
    case "FLOAT":
      if (typeof value !== "number") return ["invalid_input_type", ""];
      if (value < rule.min) return ["value_smaller_than_min", ""];
      return value > rule.max ? ["value_bigger_than_max", ""] : undefined;
    case "STRING":
    case "BOOLEAN":
      return undefined;
  }
}

const MESSAGES: Record<string, string> = {
  required_input_missing: "Required input is missing",
  bad_linked_input: "Bad linked input, must be a length-2 list of [node_id, slot_index]",
  return_type_mismatch: "Return type mismatch between linked nodes",
  value_not_in_list: "Value not in list",
  custom_validation_failed: "Custom validation failed for node",
  invalid_input_type: "Failed to convert an input value to a number",
  value_smaller_than_min: "Value smaller than the minimum",
  value_bigger_than_max: "Value bigger than the maximum",
};

function problem(type: string, details: string, name: string, received?: unknown): PromptError {
  const extra_info = { input_name: name, received_value: received };
  return { type, message: MESSAGES[type] ?? type, details, extra_info };
}

export function plain(type: string, message: string, details = ""): PromptError {
  return { type, message, details, extra_info: {} };
}

function unknown(id: string, classType: string): PromptError {
  return {
    type: "missing_node_type",
    message: `Node '${classType}' not found. The custom node may not be installed.`,
    details: `Node ID '#${id}'`,
    extra_info: { node_id: id, class_type: classType, node_title: classType },
  };
}
