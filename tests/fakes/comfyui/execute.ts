/**
 * Runs one prompt of the fake node by node, with ComfyUI's events in ComfyUI's order. Words in the
 * prompt choose what happens: `steps=N`, `fail`, `oom`, `hang`, `null-output`, `slow-start`,
 * `uninterruptible` (an interrupt is not looked at), `crash` (the worker thread dies).
 */
import { setTimeout as delay } from "node:timers/promises";
import { readBehaviour } from "switchyard/sdk/testing";
import { type Graph, linkOf } from "./node-classes.ts";
import { colourOf, JPEG_PREVIEW, pngOf } from "./pictures.ts";
import type { Residence } from "./residence.ts";
import type { Sockets } from "./sockets.ts";
import { upstream } from "./validate.ts";
import type { Item } from "./worker.ts";

export interface Execution {
  readonly item: Item;
  readonly sockets: Sockets;
  readonly sid: string | undefined;
  readonly stepMs: number;
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  readonly residence: Residence;
  /** Results of the previous prompt, by what they were made from. */
  readonly cache: ReadonlyMap<string, unknown>;
  readonly interrupted: boolean;
  /** The process or its worker thread is gone. */
  readonly over: boolean;
  /** Writes a history message and sends it. */
  note(event: string, data: Record<string, unknown>): void;
}

interface NodeName {
  readonly node_id: string;
  readonly node_type: string;
}

export class Interrupted extends Error {
  readonly node: NodeName;
  constructor(node: NodeName) {
    super("interrupted");
    this.node = node;
  }
}

export class NodeFailure extends Error {
  readonly node: NodeName;
  readonly exceptionType: string;
  constructor(node: NodeName, exceptionType: string, message: string) {
    super(message);
    this.node = node;
    this.exceptionType = exceptionType;
  }
}

/** MiB of the weights, as the shipped workflows declare them. */
const LOADERS = new Map([
  ["CheckpointLoaderSimple", 7_000],
  ["UNETLoader", 12_000],
]);
const SLOW_START_MS = 300;

export async function execute(
  execution: Execution,
  outputs: Record<string, unknown>,
  kept: Map<string, unknown>,
): Promise<void> {
  const { item, sockets, sid, cache } = execution;
  const { graph, id } = item;
  const words = wordsOf(graph);
  const states: Record<string, Record<string, unknown>> = {};
  const show = (node: string, value: number, max: number, state: string) => {
    const ids = { node_id: node, prompt_id: id, display_node_id: node, real_node_id: node };
    states[node] = { value, max, state, ...ids, parent_node_id: null };
    sockets.send("progress_state", { prompt_id: id, nodes: { ...states } }, sid);
  };
  const executed = (node: string, output: unknown) => {
    if (sid === undefined) return;
    sockets.send("executed", { node, display_node: node, output, prompt_id: id }, sid);
  };

  execution.note("execution_start", {});
  const order = [...new Set(item.outputs.flatMap((end) => upstream(graph, end)))];
  const nodes = order.filter((node) => cache.has(signature(graph, node)));
  execution.note("execution_cached", { nodes });
  if (words.slowStart) await delay(SLOW_START_MS);

  for (const node of order) {
    const key = signature(graph, node);
    const name = { node_id: node, node_type: graph[node]!.class_type };
    const isOutput = item.outputs.includes(node);
    if (cache.has(key)) {
      kept.set(key, cache.get(key));
      if (!isOutput) continue;
      outputs[node] = cache.get(key);
      executed(node, outputs[node]);
      show(node, 1, 1, "finished");
      continue;
    }
    if (execution.interrupted && !words.uninterruptible) throw new Interrupted(name);
    show(node, 0, 1, "running");
    if (sid !== undefined) {
      sockets.send("executing", { node, display_node: node, prompt_id: id }, sid);
    }
    const steps = await run(execution, name, words, show);
    if (execution.over) return;
    if (isOutput && !words.nullOutput) {
      outputs[node] = save(execution, node);
      executed(node, outputs[node]);
    }
    show(node, steps, steps, "finished");
    kept.set(key, outputs[node]);
  }
  execution.note("execution_success", {});
}

/** The work of one node; returns the number of its steps. */
async function run(
  execution: Execution,
  name: NodeName,
  words: Words,
  show: (node: string, value: number, max: number, state: string) => void,
): Promise<number> {
  const { item, residence } = execution;
  const outOfMemory = () => {
    residence.dropAll();
    return new NodeFailure(name, "torch.OutOfMemoryError", OOM);
  };
  if (name.node_type !== "KSampler") return 1;

  // A loader only reads the file; the sampler brings it onto the device, also after it was unloaded.
  if (!(await residence.load(weightsFor(item.graph, name.node_id)))) throw outOfMemory();
  const { width, height, batch } = canvas(item.graph, name.node_id);
  const giveBack = residence.work((width * height * batch) / 2 ** 20);
  if (giveBack === undefined) throw outOfMemory();
  try {
    return await sample(execution, name, words, show, outOfMemory);
  } finally {
    giveBack();
  }
}

/** MiB by file of what the sampler computes with. */
function weightsFor(graph: Graph, sampler: string): ReadonlyMap<string, number> {
  const nodes = upstream(graph, sampler).map((id) => graph[id]!);
  return new Map(
    nodes.flatMap(({ class_type, inputs }) => {
      const mib = LOADERS.get(class_type);
      return mib === undefined ? [] : [[String(inputs.ckpt_name ?? inputs.unet_name), mib]];
    }),
  );
}

async function sample(
  execution: Execution,
  name: NodeName,
  words: Words,
  show: (node: string, value: number, max: number, state: string) => void,
  outOfMemory: () => Error,
): Promise<number> {
  const { item, sockets, sid, stepMs } = execution;
  const steps = words.steps ?? Number(item.graph[name.node_id]!.inputs.steps);
  for (let step = 1; step <= steps; step++) {
    await delay(stepMs);
    if (execution.over) return steps;
    if (execution.interrupted && !words.uninterruptible) throw new Interrupted(name);
    show(name.node_id, step, steps, "running");
    const progress = { value: step, max: steps, prompt_id: item.id, node: name.node_id };
    sockets.send("progress", progress, sid);
    sockets.preview(JPEG_PREVIEW, { prompt: item.id, node: name.node_id }, sid);
    if (step < Math.min(2, steps)) continue;
    if (words.fail) throw new NodeFailure(name, "ValueError", "boom on purpose\n");
    if (words.oom) throw outOfMemory();
    if (words.hang || words.crash) await hang(execution, name, words.crash);
  }
  return steps;
}

const OOM =
  "Allocation on device 0 would exceed allowed memory. (out of memory)\n" +
  "This error means you ran out of memory on your GPU.\n\nTIPS: lower the batch size.";

/** Computes for ever without a sign of life; a crashed thread does not even see an interrupt. */
async function hang(execution: Execution, name: NodeName, crashed: boolean): Promise<void> {
  while (!execution.over) {
    await delay(5);
    if (execution.interrupted && !crashed) throw new Interrupted(name);
  }
}

/** Draws and stores what an output node saves; returns what the node tells about it. */
function save({ item, files }: Execution, node: string): unknown {
  const { graph } = item;
  const inputs = graph[node]!.inputs;
  const isTemporary = graph[node]!.class_type === "PreviewImage";
  const prefix = isTemporary ? `ComfyUI_temp_${item.id}` : String(inputs.filename_prefix);
  if (prefix.split("/").includes("..")) {
    const message = "Saving image outside the output folder is not allowed.\n";
    const name = { node_id: node, node_type: graph[node]!.class_type };
    throw new NodeFailure(name, "Exception", message);
  }
  const cut = prefix.lastIndexOf("/");
  const subfolder = cut < 0 ? "" : prefix.slice(0, cut);
  const type = isTemporary ? "temp" : "output";
  const { width, height, batch, colour } = canvas(graph, node);
  const images = Array.from({ length: batch }, (_, index) => {
    const filename = freeName(files, type, subfolder, prefix.slice(cut + 1));
    files.set(fileKey(type, subfolder, filename), pngOf(width, height, colour + index));
    return { filename, subfolder, type };
  });
  return { images };
}

function freeName(
  files: Map<string, unknown>,
  type: string,
  folder: string,
  prefix: string,
): string {
  for (let counter = 1; ; counter++) {
    const name = `${prefix}_${String(counter).padStart(5, "0")}_.png`;
    if (!files.has(fileKey(type, folder, name))) return name;
  }
}

export function fileKey(type: string, subfolder: string, filename: string): string {
  return `${type}:${subfolder}:${filename}`;
}

/** Size and colour of a picture, from the nodes that it comes from. */
function canvas(graph: Graph, node: string) {
  const inputs = upstream(graph, node).map((id) => graph[id]!.inputs);
  const first = (name: string) => inputs.map((values) => values[name]).find((v) => v !== undefined);
  const colour = first("color");
  return {
    width: Number(first("width") ?? 64),
    height: Number(first("height") ?? 64),
    batch: Number(first("batch_size") ?? 1),
    colour: colour === undefined ? colourOf(Number(first("seed") ?? 0)) : Number(colour),
  };
}

/** What a node's result depends on. */
function signature(graph: Graph, node: string): string {
  const { class_type, inputs } = graph[node]!;
  const parts = Object.entries(inputs)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => {
      const from = linkOf(value);
      return from ? [name, signature(graph, from[0]), from[1]] : [name, value];
    });
  return JSON.stringify([class_type, parts]);
}

interface Words {
  /** Undefined when the graph's own number counts. */
  readonly steps: number | undefined;
  readonly fail: boolean;
  readonly oom: boolean;
  readonly hang: boolean;
  readonly nullOutput: boolean;
  readonly slowStart: boolean;
  readonly uninterruptible: boolean;
  readonly crash: boolean;
}

function wordsOf(graph: Graph): Words {
  const texts = Object.values(graph).map(({ inputs }) => inputs.text);
  const text = texts.filter((value) => typeof value === "string").join(" ");
  const behaviour = readBehaviour(text);
  return {
    ...behaviour,
    steps: /\bsteps=\d/.test(text) ? behaviour.steps : undefined,
    uninterruptible: /\buninterruptible\b/.test(text),
    crash: /\bcrash\b/.test(text),
  };
}
