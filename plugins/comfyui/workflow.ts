/** A workflow template: a graph in ComfyUI's API format and the parameters that may fill it. */
import { matches, mismatch, type Static, t } from "switchyard/sdk";

export const Graph = t.Record(
  t.String(),
  t.Object({ class_type: t.String({ minLength: 1 }), inputs: t.Record(t.String(), t.Unknown()) }),
);
export type Graph = Static<typeof Graph>;

export const Scalar = t.Union([t.String(), t.Number(), t.Boolean()]);
export type Scalar = Static<typeof Scalar>;

const TYPES = ["string", "integer", "number", "boolean", "image"] as const;

const Parameter = t.Object(
  {
    type: t.Union(TYPES.map((name) => t.Literal(name))),
    description: t.Optional(t.String()),
    min: t.Optional(t.Number()),
    max: t.Optional(t.Number()),
    options: t.Optional(t.Array(Scalar, { minItems: 1 })),
    /** "random" for an integer; without a default the graph's own value counts. */
    default: t.Optional(Scalar),
    /** `[node id, input name]` of every place that takes the value. */
    targets: t.Array(t.Tuple([t.String(), t.String()]), { minItems: 1 }),
  },
  { additionalProperties: false },
);
export type Parameter = Static<typeof Parameter>;

/** Folders below ComfyUI's `models/` whose files a workflow may need. */
const files = t.Optional(t.Array(t.String()));

const Manifest = t.Object(
  {
    summary: t.Optional(t.String()),
    params: t.Record(t.String(), Parameter),
    output: t.Array(t.String(), { description: "Ids of the nodes whose files are the result." }),
    resident_mib: t.Integer({ minimum: 0 }),
    working_mib: t.Integer({ minimum: 0, description: "At the graph's own size and batch." }),
    requires: t.Optional(
      t.Object(
        { checkpoints: files, diffusion_models: files, text_encoders: files, vae: files },
        { additionalProperties: false },
      ),
    ),
    graph: Graph,
  },
  { additionalProperties: false },
);

export interface Workflow extends Static<typeof Manifest> {
  readonly name: string;
}

const EXPORT = 'save it in ComfyUI with "Workflow > Export (API)"';

/** What is wrong with a graph from a client or an operator; undefined when it can be sent. */
export function graphProblem(graph: unknown): string | undefined {
  if (isUiFormat(graph)) return `is in ComfyUI's UI format, which its API does not run; ${EXPORT}`;
  if (!matches(Graph, graph)) {
    return `is not a graph in API format (${mismatch(Graph, graph)}); ${EXPORT}`;
  }
  return Object.keys(graph).length === 0 ? "has no nodes" : undefined;
}

/** Reads a manifest; throws an Error that says what is wrong and how to put it right. */
export function parseWorkflow(name: string, text: string): Workflow {
  const manifest: unknown = JSON.parse(text);
  const graph = typeof manifest === "object" && manifest !== null && "graph" in manifest;
  const inner = graphProblem(graph ? manifest.graph : manifest);
  if (inner !== undefined && (graph || isUiFormat(manifest))) throw new Error(inner);
  if (!graph && inner === undefined) {
    throw new Error('is a bare graph; put it under "graph", beside "params" and "output"');
  }
  if (!matches(Manifest, manifest)) throw new Error(String(mismatch(Manifest, manifest)));
  const lost = Object.entries(manifest.params).flatMap(([param, { targets }]) =>
    targets
      .filter(([node, input]) => manifest.graph[node]?.inputs[input] === undefined)
      .map(([node, input]) => `param "${param}" targets ${node}.${input}`),
  );
  const nodes = manifest.output.filter((node) => !manifest.graph[node]);
  lost.push(...nodes.map((node) => `"output" names node ${node}`));
  if (lost.length === 0) return { ...manifest, name };
  throw new Error(`${lost.join(", ")}, which the graph lacks; correct it or ${EXPORT} again`);
}

/** The UI's own file holds arrays of nodes and links instead of nodes by id. */
function isUiFormat(value: unknown): boolean {
  return matches(t.Object({ nodes: t.Array(t.Unknown()), links: t.Array(t.Unknown()) }), value);
}
