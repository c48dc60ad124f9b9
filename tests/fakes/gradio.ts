/**
 * A stand-in for programs with a Gradio page: any captured signature, as Gradio 4, 5 or 6 serves
 * it. Words in the texts of a call steer it: those of every fake (`steps=N`, `fail`, `oom`, `hang`,
 * `null-output`, `slow-start`) and `error-text` (an error told as if it were a success). What it
 * does was compared with real servers by tests/plugins/gradio-twins.test.ts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Fake } from "switchyard/sdk/testing";
import { createProgram } from "./gradio/program.ts";
import { createQueue, type Queue, type Said } from "./gradio/queue.ts";
import { readSignature, type Signature, type SignatureName, show } from "./gradio/signature.ts";
import { type Answer, bodyOf, jsonOf, refuse, sendJson, textOf } from "./gradio/wire.ts";

export type { Signature } from "./gradio/signature.ts";
export { readSignature, SIGNATURES, type SignatureName } from "./gradio/signature.ts";

export interface FakeGradioOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** A captured program, or a signature of one's own; stable-audio-tools unless said. */
  readonly signature?: SignatureName | Signature;
  /** "5.49.1" unless said. */
  readonly gradio?: string;
  /** Of the page; "Gradio" unless said. */
  readonly title?: string;
  /** `launch(auth=…)`. */
  readonly login?: { readonly username: string; readonly password: string };
  /** `launch(show_error=True)`; true unless said, so that errors can be told apart. */
  readonly showError?: boolean;
  /** Waiting calls that its queue takes; any number unless said. */
  readonly maxWaiting?: number;
  /** Milliseconds of a step; 5 unless said. */
  readonly stepMs?: number;
  /** Milliseconds between two heartbeats; 15,000 unless said. */
  readonly heartbeatMs?: number;
  /** The connection of a call breaks: before the server took it, or before it could answer. */
  readonly cutJoin?: "before" | "after";
  /** Changes what a stream is about to send: for what no server should do. */
  readonly garble?: (message: Said) => Said | string;
}

export interface FakeGradio extends Fake {
  /** The bodies of all calls that joined the queue. */
  readonly joined: readonly { readonly fn_index: number; readonly data: readonly unknown[] }[];
  /** Names of the files that came, as the client gave them. */
  readonly uploads: readonly string[];
  readonly queue: Pick<Queue, "running" | "waiting" | "mostAtOnce" | "removed">;
  /** Open now. */
  readonly streams: number;
  /** Breaks every open stream, as a proxy or a bad network does. */
  dropStreams(): void;
  /** Ends what hangs. */
  release(): void;
  /** As a program that was started anew: another id, an empty queue. */
  restart(change?: { signature?: SignatureName | Signature; gradio?: string }): void;
}

interface Running {
  readonly major: number;
  readonly prefix: string;
  readonly appId: string;
  readonly shown: ReturnType<typeof show>;
  readonly program: ReturnType<typeof createProgram>;
  readonly queue: Queue;
}

export async function startFakeGradio(options: FakeGradioOptions = {}): Promise<FakeGradio> {
  const { stepMs = 5, showError = true, login, maxWaiting, heartbeatMs = 15_000 } = options;
  const calls: string[] = [];
  const joined: { fn_index: number; data: readonly unknown[] }[] = [];
  const uploads: string[] = [];
  const files = new Map<string, Uint8Array>();
  const streams = new Set<ServerResponse>();
  let starts = 0;

  const publish = (name: string, bytes: Uint8Array): Said => {
    const path = `/tmp/gradio/${files.size.toString(16).padStart(8, "0")}/${name}`;
    files.set(path, bytes);
    // As a server in a container sees itself: a URL that leads nowhere, or to somebody else.
    const url = `http://inside.invalid:7860/gradio_api/file=${path}`;
    const meta = { _type: "gradio.FileData" };
    return { path, url, orig_name: name, mime_type: null, size: null, is_stream: false, meta };
  };

  function begin(named: SignatureName | Signature, version: string): Running {
    const signature = typeof named === "string" ? readSignature(named) : named;
    const major = Number.parseInt(version, 10);
    // Beyond what JSON keeps exactly, as the real one.
    const appId = String(9_007_199_254_740_992 + ++starts * 4_096);
    const program = createProgram({ signature, version, showError, stepMs, publish });
    const isGenerator = (fn: number) => signature.dependencies[fn]?.generator === true;
    const queue = createQueue(major, isGenerator, (call, say) => program.run(call, say));
    const shown = show(signature, { version, title: options.title ?? "Gradio", appId });
    return { major, prefix: major >= 5 ? "/gradio_api" : "", appId, shown, program, queue };
  }
  let now = begin(options.signature ?? "stable-audio-tools-0.0.19", options.gradio ?? "5.49.1");

  const isAllowed = ({ headers }: IncomingMessage): boolean =>
    login === undefined || (headers.cookie ?? "").includes("access-token-unsecure-x=a-token");

  const routes: Record<string, (answer: Answer) => Promise<void> | void> = {
    "GET /config": ({ response }) => sendJson(response, 200, now.shown.config),
    "GET /info": ({ response }) => sendJson(response, 200, now.shown.listing),
    "GET /app_id": ({ response }) => textOf(response, `{"app_id":${now.appId}}`),
    "GET /queue/status": ({ response }) =>
      sendJson(response, 200, { msg: "estimation", queue_size: now.queue.waiting }),
    "POST /queue/join": async ({ request, response }) => {
      const { data, fn_index, session_hash } = await jsonOf(request);
      if (maxWaiting !== undefined && now.queue.waiting >= maxWaiting) {
        return refuse(response, 503, "Queue is full.");
      }
      const isKnown = Array.isArray(now.shown.config.dependencies)
        ? now.shown.config.dependencies[fn_index] !== undefined
        : false;
      if (!isKnown) return refuse(response, 404, "Not Found");
      if (options.cutJoin === "before") return void request.socket.destroy();
      joined.push({ fn_index, data });
      if (options.cutJoin === "after") {
        now.queue.join(session_hash, fn_index, data);
        return void request.socket.destroy();
      }
      sendJson(response, 200, { event_id: now.queue.join(session_hash, fn_index, data) });
    },
    "GET /queue/data": ({ response, query }) => stream(response, query.get("session_hash") ?? ""),
    "POST /cancel": async ({ request, response }) => {
      const { session_hash, fn_index, event_id } = await jsonOf(request);
      now.queue.cancel(session_hash, fn_index, event_id);
      sendJson(response, 200, { success: true });
    },
    "POST /upload": async ({ request, response }) => {
      const type = request.headers["content-type"] ?? "";
      const form = await new Response(await bodyOf(request), {
        headers: { "content-type": type },
      }).formData();
      const paths: string[] = [];
      for (const file of form.getAll("files")) {
        if (!(file instanceof File)) continue;
        uploads.push(file.name);
        const bytes = new Uint8Array(await file.arrayBuffer());
        paths.push(String(publish(file.name.split("/").pop() ?? "file", bytes).path));
      }
      sendJson(response, 200, paths);
    },
  };

  async function stream(response: ServerResponse, session: string): Promise<void> {
    const { queue, major } = now;
    const gone = new AbortController();
    streams.add(response);
    response.on("close", () => {
      streams.delete(response);
      gone.abort();
      if (!response.writableEnded) queue.leave(session);
    });
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    const send = (message: Said): void => {
      const said = options.garble?.(message) ?? message;
      const text = typeof said === "string" ? said : JSON.stringify(said);
      // Cut in the middle, so that no chunk is a message.
      const whole = `data: ${text}\n\n`;
      response.write(whole.slice(0, whole.length / 2));
      response.write(whole.slice(whole.length / 2));
    };
    if (!queue.knows(session)) {
      const found = major >= 5 ? { session_not_found: true } : {};
      send({
        msg: "unexpected_error",
        message: "404: Session not found.",
        success: false,
        ...found,
      });
      // The real one breaks the connection, too, once the message is out.
      return void setTimeout(() => response.destroy(), 10);
    }
    const beat = setInterval(() => send({ msg: "heartbeat" }), heartbeatMs);
    gone.signal.addEventListener("abort", () => clearInterval(beat));
    for (;;) {
      const message = await queue.next(session, gone.signal).catch(() => undefined);
      if (message === undefined) return;
      send(message);
      if (message.msg === "process_completed" && queue.settle(session, String(message.event_id))) {
        send({ msg: "close_stream", event_id: null });
        clearInterval(beat);
        return void response.end();
      }
    }
  }

  function give(path: string, { response }: Answer): void {
    const bytes = files.get(path);
    if (bytes === undefined) refuse(response, 403, `File not allowed: ${path}.`);
    else response.writeHead(200, { "content-length": bytes.byteLength }).end(bytes);
  }

  const server = createServer((request, response) => {
    void answer({ request, response }).catch((error: unknown) => {
      if (!response.headersSent) refuse(response, 500, String(error));
    });
  });

  async function answer({ request, response }: Omit<Answer, "query">): Promise<void> {
    const url = new URL(request.url ?? "/", "http://localhost");
    const { method = "GET" } = request;
    calls.push(`${method} ${url.pathname}`);
    const query = url.searchParams;
    if (method === "POST" && url.pathname === "/login") return logIn({ request, response, query });
    const { prefix } = now;
    const isRoot = url.pathname === "/config";
    const isOurs = isRoot || url.pathname.startsWith(`${prefix}/`);
    const path = isRoot ? url.pathname : url.pathname.slice(prefix.length);
    const isOpen = path === "/app_id" || path === "/cancel";
    if (!isOpen && !isAllowed(request)) return refuse(response, 401, "Not authenticated");
    const file = isOurs ? /^\/file=(.*)$/.exec(path)?.[1] : undefined;
    if (file !== undefined) return give(decodeURIComponent(file), { request, response, query });
    const route = isOurs ? routes[`${method} ${path}`] : undefined;
    if (route === undefined) return refuse(response, 404, "Not Found");
    await route({ request, response, query });
  }

  async function logIn({ request, response }: Answer): Promise<void> {
    const form = new URLSearchParams((await bodyOf(request)).toString());
    if (form.get("username") !== login?.username || form.get("password") !== login?.password) {
      return refuse(response, 400, "Incorrect credentials.");
    }
    response.setHeader("set-cookie", [
      "access-token-x=a-token; HttpOnly; Path=/; SameSite=none; Secure",
      "access-token-unsecure-x=a-token; HttpOnly; Path=/; SameSite=lax",
    ]);
    sendJson(response, 200, { success: true });
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    joined,
    uploads,
    get queue() {
      return now.queue;
    },
    get streams() {
      return streams.size;
    },
    get stopped() {
      return now.program.wasStopped || now.queue.removed > 0;
    },
    dropStreams: () => {
      for (const response of streams) response.destroy();
    },
    release: () => now.program.release(),
    restart(change = {}) {
      now.program.release();
      const { signature = options.signature ?? "stable-audio-tools-0.0.19" } = change;
      now = begin(signature, change.gradio ?? options.gradio ?? "5.49.1");
      for (const response of streams) response.destroy();
    },
    async stop() {
      now.program.release();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
