/**
 * A stand-in for a ComfyUI server: the same routes, events, queue and bugs, pictures of one colour
 * instead of models. `comfyui/execute.ts` lists the words in a prompt that steer it. With `memory`
 * its models take room on a simulated device.
 */
import type { Fake } from "switchyard/sdk/testing";
import { MODELS, type ModelFolders, nodeClasses } from "./comfyui/node-classes.ts";
import { createResidence, type ResidenceOptions } from "./comfyui/residence.ts";
import { createRoutes } from "./comfyui/routes.ts";
import { createSockets, type Visitor } from "./comfyui/sockets.ts";
import { createWorker } from "./comfyui/worker.ts";

export interface FakeComfyUIOptions extends ResidenceOptions {
  /** 0, an ephemeral one, unless said. */
  readonly port?: number;
  /** Milliseconds of one sampler step; 3 unless said. */
  readonly stepMs?: number;
  readonly models?: ModelFolders;
  readonly version?: string;
  /** The worker thread is dead from the start; HTTP still answers. */
  readonly workerDead?: boolean;
  /** As servers before 2025-12: no `/api/jobs`. */
  readonly noJobsApi?: boolean;
  /** As servers before 2026-06: no `/api/jobs/{id}/cancel`. */
  readonly noCancelApi?: boolean;
  /** As servers before 2024-08: no `/models`. */
  readonly noModelsApi?: boolean;
  /** As `--max-upload-size`; 100 MB unless said. */
  readonly maxUploadBytes?: number;
  /** Other bytes are there already under every name. */
  readonly renamesUploads?: boolean;
  /** Uploads are gone by the time of the prompt. */
  readonly losesUploads?: boolean;
  /** Previews never name their prompt. */
  readonly plainPreviews?: boolean;
  /** As since 2026-02 on NVIDIA: its weights are not PyTorch's. */
  readonly dynamicVram?: boolean;
  /** Every WebSocket is refused. */
  readonly noSockets?: boolean;
}

export interface FakeComfyUI extends Fake {
  /** How often each prompt id was accepted or refused by POST /prompt. */
  readonly submissions: ReadonlyMap<string, number>;
  /** How often each prompt id was executed. */
  readonly executions: ReadonlyMap<string, number>;
  /** Bodies of every POST /prompt. */
  readonly prompts: readonly Record<string, unknown>[];
  /** Open WebSockets. */
  readonly sockets: number;
  /** "type:subfolder:filename" of every file on its disk. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Model files in memory. */
  readonly loaded: ReadonlySet<string>;
  /** The next POST /prompt is accepted, but its answer is cut off. */
  cutNextAnswer(): void;
  /** The next POST /prompt is answered by a cut, and not accepted. */
  loseNextPrompt(): void;
  /** Every answer is held back until the returned function is called. */
  freeze(): () => void;
  dropSockets(): void;
  deleteFiles(): void;
  /** Loses its queue, history and connections, as a restart does; the port stays. */
  restart(): void;
}

export async function startFakeComfyUI(options: FakeComfyUIOptions = {}): Promise<FakeComfyUI> {
  const { port = 0, stepMs = 3, models = MODELS, version = "0.38.1" } = options;
  const { noJobsApi = false, noCancelApi = false, noModelsApi = false } = options;
  const { dynamicVram = false, maxUploadBytes = 100 * 1024 * 1024 } = options;
  const sockets = createSockets(options);
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const residence = createResidence(options);
  const worker = createWorker({ sockets, stepMs, files, residence });
  if (options.workerDead) worker.kill();
  const submissions = new Map<string, number>();
  const classes = nodeClasses(models);
  const { renamesUploads = false, losesUploads = false } = options;
  const uploads = { maxUploadBytes, renamesUploads, losesUploads };
  const ways = { noJobsApi, noCancelApi, noModelsApi, dynamicVram, ...uploads };
  const answer = createRoutes({ worker, models, classes, files, submissions, version, ...ways });
  const calls: string[] = [];
  const prompts: Record<string, unknown>[] = [];
  let cutNext = false;
  let loseNext = false;
  let thaw: Promise<void> | undefined;
  let stopped = false;

  async function respond(request: Request, path: string, query: URLSearchParams) {
    calls.push(`${request.method} ${path}`);
    await thaw;
    const stops = /\/(interrupt|cancel)$/.test(path) && worker.remaining > 0;
    if (stops || (request.method === "POST" && path.endsWith("/queue"))) stopped = true;
    const isPrompt = request.method === "POST" && path.endsWith("/prompt");
    if (isPrompt)
      prompts.push(
        await request
          .clone()
          .json()
          .catch(() => ({})),
      );
    if (isPrompt && loseNext) {
      loseNext = false;
      return cut();
    }
    const response = await answer(request, path, query);
    if (!isPrompt || !cutNext) return response;
    cutNext = false;
    return cut();
  }

  const server = Bun.serve<Visitor>({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    // ComfyUI answers its own failures in plain text.
    error: () => new Response("500 Internal Server Error", { status: 500 }),
    async fetch(request, server) {
      const { pathname, searchParams, host } = new URL(request.url);
      const origin = request.headers.get("origin");
      const isForeign = origin !== null && URL.parse(origin)?.host !== host;
      if (isForeign || request.headers.get("sec-fetch-site") === "cross-site") {
        return new Response(null, { status: 403 });
      }
      // As aiohttp: a header may come only once. Bun joins the two with a comma.
      if (/^[^(]*, /.test(request.headers.get("user-agent") ?? "")) {
        return new Response("Duplicate 'User-Agent' header found.", { status: 400 });
      }
      if (pathname !== "/ws") return respond(request, pathname, searchParams);
      if (options.noSockets) return new Response(null, { status: 503 });
      const sid = searchParams.get("clientId") || crypto.randomUUID().replaceAll("-", "");
      const data = { sid, richPreviews: false, spoke: false };
      return server.upgrade(request, { data })
        ? undefined
        : new Response("Can upgrade only to WebSocket", { status: 400 });
    },
    websocket: {
      open: (socket) => sockets.open(socket, worker.remaining),
      message: (socket, text) => sockets.message(socket, String(text)),
      close: (socket) => sockets.close(socket),
    },
  });

  return {
    url: `http://127.0.0.1:${server.port}`,
    calls,
    prompts,
    submissions,
    files,
    executions: worker.executions,
    loaded: residence.loaded,
    get stopped() {
      return stopped;
    },
    get sockets() {
      return sockets.size;
    },
    cutNextAnswer() {
      cutNext = true;
    },
    loseNextPrompt() {
      loseNext = true;
    },
    freeze() {
      let go = () => {};
      thaw = new Promise((resolve) => {
        go = resolve;
      });
      return () => {
        thaw = undefined;
        go();
      };
    },
    dropSockets: () => sockets.dropAll(),
    deleteFiles: () => files.clear(),
    restart() {
      worker.restart();
      sockets.dropAll();
    },
    async stop() {
      worker.stop();
      await server.stop(true);
    },
  };
}

/** A 200 of which only the start arrived. */
function cut(): Response {
  return new Response('{"prompt_id', { headers: { "content-type": "application/json" } });
}
