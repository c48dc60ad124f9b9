/** What ComfyUI says went wrong, in words that tell what to do next. */
import { BackendError, matches, type Static, t } from "switchyard/sdk";

const Problem = t.Object({ type: t.String(), message: t.String(), details: t.String() });
const Received = t.Object({
  extra_info: t.Object({ input_name: t.String(), received_value: t.Unknown() }),
});
export const NodeErrors = t.Record(
  t.String(),
  t.Object({ class_type: t.String(), errors: t.Array(Problem) }),
);
const Refusal = t.Object({ error: Problem, node_errors: t.Optional(NodeErrors) });
const ExecutionError = t.Object({
  node_id: t.Optional(t.String()),
  node_type: t.String(),
  exception_type: t.String(),
  exception_message: t.String(),
});

const MAX_MESSAGE = 500;
/** A folder on ComfyUI's machine is nobody's business outside. */
const FOLDERS = /(?:[A-Za-z]:[\\/]|\/)(?:[^\s'":\\/]+[\\/])+/g;

/**
 * The answer to POST /prompt when the graph was not accepted; another error comes back as it is.
 */
export function refusalOf(error: unknown): unknown {
  if (!BackendError.is(error) || error.code !== "BACKEND_REJECTED") return error;
  const answer = error.details?.answer;
  if (!matches(Refusal, answer)) return error;
  const { node_errors = {}, error: top } = answer;
  if (Object.keys(node_errors).length > 0) return nodesRefused(node_errors);
  const hint =
    top.type === "missing_node_type" ? " Install it in ComfyUI, or change the workflow." : "";
  const message = `ComfyUI refused the workflow: ${top.message} ${top.details}.${hint}`;
  return new BackendError("BACKEND_REJECTED", message, { details: { type: top.type } });
}

export function nodesRefused(nodeErrors: Static<typeof NodeErrors>): BackendError {
  const words = Object.entries(nodeErrors).flatMap(([node, { class_type, errors }]) =>
    errors.map((error) => `node ${node} (${class_type}): ${wordsOf(error)}`),
  );
  const message = `ComfyUI refused the workflow: ${words.join("; ")}`.slice(0, 2 * MAX_MESSAGE);
  const problems = Object.entries(nodeErrors).map(([node, { class_type, errors }]) => {
    const plain = errors.map(({ type, message, details }) => ({ type, message, details }));
    return [node, { class_type, errors: plain }];
  });
  const details = { node_errors: Object.fromEntries(problems) };
  return new BackendError("BACKEND_REJECTED", message, { details });
}

function wordsOf(error: Static<typeof Problem>): string {
  if (error.type === "value_not_in_list" && matches(Received, error)) {
    const { input_name, received_value } = error.extra_info;
    const isFile = /\.\w+$/.test(String(received_value));
    const next = isFile
      ? "is the file in ComfyUI's models folder, and is this the workflow for it?"
      : error.details;
    return `${input_name} cannot be ${JSON.stringify(received_value)}; ${next}`;
  }
  return error.details ? `${error.message} (${error.details})` : error.message;
}

/** Why an accepted prompt failed. */
export function executionFailure(error: unknown): BackendError {
  if (!matches(ExecutionError, error)) {
    return new BackendError("BACKEND_FAILED", "ComfyUI failed and does not say why; see its log");
  }
  const { node_id, node_type, exception_type, exception_message } = error;
  const said = exception_message.trim().replace(FOLDERS, "…/").slice(0, MAX_MESSAGE);
  const details = { node_id, node_type, exception_type };
  if (/OutOfMemory/.test(exception_type) || /out of memory/i.test(exception_message)) {
    const message = `ComfyUI ran out of GPU memory in ${node_type}: ${said.split("\n")[0]}`;
    return new BackendError("OUT_OF_MEMORY", message, { details });
  }
  const message = `ComfyUI failed in ${node_type}: ${said} (${exception_type})`;
  return new BackendError("BACKEND_FAILED", message, { details });
}
