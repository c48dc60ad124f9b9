/** The fake's HTTP routes, each with and without the prefix `/api`. */

import { fileKey } from "./execute.ts";
import type { Graph, ModelFolders, NodeClass } from "./node-classes.ts";
import type { PromptError } from "./validate.ts";
import { plain, validate } from "./validate.ts";
import type { HistoryEntry, Item, Worker } from "./worker.ts";

export interface RouteOptions {
  readonly worker: Worker;
  readonly models: ModelFolders;
  readonly classes: Readonly<Record<string, NodeClass>>;
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  readonly submissions: Map<string, number>;
  /** Before 2025-12: no `/api/jobs`. */
  readonly noJobsApi: boolean;
  /** Before 2026-06: no `/api/jobs/{id}/cancel`. */
  readonly noCancelApi: boolean;
  readonly noModelsApi: boolean;
  /** `--max-upload-size`, in bytes. */
  readonly maxUploadBytes: number;
  /** Somebody else's file has every name already. */
  readonly renamesUploads: boolean;
  /** Its folder `input` is cleared at the wrong moment. */
  readonly losesUploads: boolean;
  readonly version: string;
  /** As since 2026-02 on NVIDIA: weights are not PyTorch's, only the device's free memory tells. */
  readonly dynamicVram: boolean;
}

export type Answer = (request: Request, path: string, query: URLSearchParams) => Promise<Response>;

const json = (value: unknown, status = 200) => Response.json(value, { status });
const empty = (status = 200) => new Response(null, { status });
const noRoute = () => new Response("404: Not Found", { status: 404 });

export function createRoutes(options: RouteOptions): Answer {
  const { worker, models, classes, files } = options;
  let number = 0;

  async function submit(request: Request): Promise<Response> {
    const body = await request.json();
    const order = body.number ?? (body.front ? -number : number);
    number += 1;
    if (!("prompt" in body)) return refusal(plain("no_prompt", "No prompt provided"));
    const id = body.prompt_id ?? crypto.randomUUID();
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) {
      return refusal(plain("invalid_prompt_id", "prompt_id must be a valid UUID"));
    }
    options.submissions.set(id, (options.submissions.get(id) ?? 0) + 1);
    if (Array.isArray(body.prompt)) throw new Error("'list' object has no attribute 'items'");
    const graph = body.prompt as Graph;
    const hasInput = (name: string) => {
      const cut = name.lastIndexOf("/");
      return files.has(fileKey("input", name.slice(0, Math.max(0, cut)), name.slice(cut + 1)));
    };
    const verdict = validate(graph, classes, hasInput);
    if (!verdict.ok) return refusal(verdict.error, verdict.nodeErrors);
    const clientId = body.client_id === undefined ? {} : { client_id: body.client_id };
    const extraData = { ...body.extra_data, ...clientId, create_time: Date.now() };
    worker.put({ number: order, id, graph, extraData, outputs: verdict.outputs });
    return json({ prompt_id: id, number: order, node_errors: verdict.nodeErrors });
  }

  function cancel(id: string): Response {
    return json({ cancelled: worker.remove(id) || worker.interrupt(id) });
  }

  async function queue(request: Request): Promise<Response> {
    const { delete: ids = [], clear = false } = await request.json();
    for (const id of clear ? worker.pending.map((item) => item.id) : ids) worker.remove(id);
    return empty();
  }

  async function interrupt(request: Request): Promise<Response> {
    worker.interrupt((await request.json()).prompt_id);
    return empty();
  }

  async function free(request: Request): Promise<Response> {
    const { unload_models = false, free_memory = false } = await request.json();
    worker.free({ unloadModels: unload_models, freeMemory: free_memory });
    return empty();
  }

  async function forget(request: Request): Promise<Response> {
    const { delete: ids = [], clear = false } = await request.json();
    if (clear) worker.history.clear();
    for (const id of ids) worker.history.delete(id);
    return empty();
  }

  function view(query: URLSearchParams): Response {
    const name = query.get("filename") ?? "";
    const bytes = files.get(
      fileKey(query.get("type") ?? "output", query.get("subfolder") ?? "", name),
    );
    if (!bytes) return empty(404);
    const disposition = `filename="${name}"`;
    return new Response(bytes, {
      headers: { "content-type": "image/png", "content-disposition": disposition },
    });
  }

  /** Takes any bytes, keeps them for ever, and names them anew where others have the name. */
  async function upload(request: Request): Promise<Response> {
    const { size } = await request.clone().blob();
    if (size > options.maxUploadBytes) {
      return new Response("Maximum request body size exceeded", { status: 413 });
    }
    const form = await request.formData();
    const image = form.get("image");
    if (!(image instanceof File) || image.name === "") return empty(400);
    const type = String(form.get("type") ?? "input");
    const subfolder = String(form.get("subfolder") ?? "");
    if (`${subfolder}/${image.name}`.split("/").includes("..")) return empty(400);
    const bytes = new Uint8Array(await image.arrayBuffer());
    const overwrites = ["true", "1"].includes(String(form.get("overwrite")));
    const taken = options.renamesUploads ? [fileKey(type, subfolder, image.name)] : [];
    for (const key of taken) files.set(key, new Uint8Array([0]));
    const name = overwrites ? image.name : freeUpload(files, type, subfolder, image.name, bytes);
    if (!options.losesUploads) files.set(fileKey(type, subfolder, name), bytes);
    return json({ name, subfolder, type });
  }

  function objectInfo(name: string): Response {
    const found = classes[name];
    if (!found) return json({});
    const required = Object.fromEntries(
      Object.entries(found.inputs).map(([input, rule]) => [
        input,
        rule.kind === "choice"
          ? [rule.options, {}]
          : [rule.kind === "link" ? rule.type : rule.kind === "upload" ? [] : rule.kind],
      ]),
    );
    return json({ [name]: { input: { required }, name, output: found.returns } });
  }

  return async (request, fullPath, query) => {
    const path = fullPath.startsWith("/api/") ? fullPath.slice(4) : fullPath;
    const [, first = "", second = "", third = ""] = path.split("/").map(decodeURIComponent);
    switch (`${request.method} /${first}`) {
      case "GET /prompt":
        return json({ exec_info: { queue_remaining: worker.remaining } });
      case "POST /prompt":
        return submit(request);
      case "GET /queue":
        return json({
          queue_running: worker.running ? [tuple(worker.running)] : [],
          queue_pending: worker.pending.map(tuple),
        });
      case "POST /queue":
        return queue(request);
      case "POST /interrupt":
        return interrupt(request);
      case "POST /upload":
        return second === "image" ? upload(request) : noRoute();
      case "POST /free":
        return free(request);
      case "POST /history":
        return forget(request);
      case "GET /history": {
        const found = [...worker.history].filter(([id]) => second === "" || id === second);
        return json(Object.fromEntries(found.map(([id, entry]) => [id, historyOf(entry)])));
      }
      case "GET /view":
        return view(query);
      case "GET /system_stats":
        return json(systemStats(options));
      case "GET /models":
        if (options.noModelsApi) return noRoute();
        if (second === "") return json(Object.keys(models));
        return models[second] ? json(models[second]) : empty(404);
      case "GET /object_info":
        return objectInfo(second);
      case "GET /jobs": {
        if (options.noJobsApi || !fullPath.startsWith("/api/")) return noRoute();
        const job = jobOf(worker, second);
        return job ? json(job) : json({ error: "Job not found" }, 404);
      }
      case "POST /jobs":
        if (options.noJobsApi || options.noCancelApi || third !== "cancel") return noRoute();
        return cancel(second);
      default:
        return noRoute();
    }
  };
}

/** The same name for the same bytes, else the first free one: "a (1).png". */
function freeUpload(
  files: ReadonlyMap<string, Uint8Array>,
  type: string,
  subfolder: string,
  name: string,
  bytes: Uint8Array,
): string {
  const dot = name.lastIndexOf(".");
  for (let counter = 0; ; counter++) {
    const own = counter === 0 ? name : `${name.slice(0, dot)} (${counter})${name.slice(dot)}`;
    const known = files.get(fileKey(type, subfolder, own));
    if (!known || Buffer.compare(known, bytes) === 0) return own;
  }
}

function refusal(error: PromptError, nodeErrors: unknown = {}): Response {
  return json({ error, node_errors: nodeErrors }, 400);
}

const tuple = ({ number, id, graph, extraData, outputs }: Item) => [
  number,
  id,
  graph,
  extraData,
  outputs,
];

function historyOf({ item, outputs, status }: HistoryEntry) {
  return { prompt: tuple(item), outputs, status, meta: {} };
}

/**
 * The unified view of newer servers: a cancelled prompt is an error with an interruption inside.
 */
function jobOf(worker: Worker, id: string) {
  const entry = worker.history.get(id);
  if (!entry) {
    const alive =
      worker.running?.id === id ? worker.running : worker.pending.find((p) => p.id === id);
    if (!alive) return undefined;
    const status = alive === worker.running ? "in_progress" : "pending";
    return { id, status, priority: alive.number, outputs_count: 0 };
  }
  const message = (event: string) => entry.status.messages.find(([name]) => name === event)?.[1];
  const failed = message("execution_interrupted") ? "cancelled" : "failed";
  return {
    id,
    status: entry.status.completed ? "completed" : failed,
    priority: entry.item.number,
    outputs: entry.outputs,
    outputs_count: Object.keys(entry.outputs).length,
    execution_status: entry.status,
    ...(message("execution_error") ? { execution_error: message("execution_error") } : {}),
    workflow: { prompt: entry.item.graph, extra_data: entry.item.extraData },
  };
}

const GIB = 1024 ** 3;

function systemStats({ worker, version, dynamicVram }: RouteOptions) {
  const held = worker.residence.torchBytes;
  const torch = dynamicVram ? 0.1 * GIB : held;
  return {
    system: { os: "linux", comfyui_version: version, python_version: "3.12.0", argv: ["main.py"] },
    devices: [
      {
        name: "cuda:0 Fake RTX 3090",
        type: "cuda",
        index: 0,
        vram_total: 24 * GIB,
        vram_free: 23 * GIB - held,
        torch_vram_total: torch,
        torch_vram_free: 0.05 * GIB,
      },
    ],
  };
}
