/**
 * A stand-in for WanGP's MCP server, with the manners of the MCP package that it runs on: 1.10.1,
 * which WanGP pins, 1.30 or 2.3. Words in the prompt steer it: `steps=N`, `fail`, `oom`, `hang`,
 * `null-output`, `slow-start`, and its own `invalid` (refused once it runs).
 * tests/twins/mcp compares it with the real packages.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Fake } from "switchyard/sdk/testing";
import { createJobs, type Stored } from "./wan2gp/jobs.ts";
import { TYPES } from "./wan2gp/models.ts";
import { type Arguments, createTools, type Tools } from "./wan2gp/tools.ts";

export interface FakeWan2gpOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** Of the package mcp; "1.10" unless said. */
  readonly mcp?: "1.10" | "1.30" | "2.3";
  /** Answers come as text only. */
  readonly unstructured?: boolean;
  /** Tools that this server does not have. */
  readonly without?: readonly string[];
  /** The name under which it is asked is none of its own; from mcp 1.30 on it answers 421. */
  readonly foreign?: boolean;
  /** Somebody else's job runs all the time. */
  readonly busy?: boolean;
  /** Addresses of files name a host of the server's own. */
  readonly foreignAddresses?: boolean;
  /** Milliseconds per `steps`; 3 unless said. */
  readonly stepMs?: number;
}

export interface FakeWan2gp extends Fake {
  /** The settings of all jobs that were sent, in order. */
  readonly sources: readonly Arguments[];
  /** What was uploaded, by the name that was said. */
  readonly uploaded: ReadonlyMap<string, Uint8Array>;
  /** The program starts anew, and has forgotten its jobs. */
  restart(): void;
}

interface Rpc {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: { readonly name?: string; readonly arguments?: Arguments };
}

interface State {
  readonly options: FakeWan2gpOptions;
  readonly calls: string[];
  readonly sources: Arguments[];
  readonly tools: Tools;
}

export async function startFakeWan2gp(options: FakeWan2gpOptions = {}): Promise<FakeWan2gp> {
  const gallery = new Map<string, Stored>();
  const jobs = createJobs(gallery, options.stepMs ?? 3);
  const uploads = new Map<string, string>();
  const downloads = new Map<string, string>();
  const uploaded = new Map<string, Uint8Array>();
  const all = createTools({ jobs, gallery, uploads, downloads });
  const { without = [] } = options;
  const tools = Object.fromEntries(Object.entries(all).filter(([name]) => !without.includes(name)));
  const state: State = { options, calls: [], sources: [], tools };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const body = await readBody(request);
    const [, what, token = ""] =
      /^\/wangp_api\/gallery\/(upload|download)\/(\w+)$/.exec(pathname) ?? [];
    if (what === undefined) return answerRpc(request, response, body, state);
    state.calls.push(`${request.method} /wangp_api/gallery/${what}`);
    // Each address works once.
    const store = what === "upload" ? uploads : downloads;
    const name = store.get(token);
    store.delete(token);
    if (name === undefined) {
      const error = `${what === "upload" ? "Upload" : "Download"} expired or not found.`;
      return send(response, 404, { error });
    }
    if (what === "upload") {
      uploaded.set(name, body);
      const id = `${/\.(wav|mp3|flac|ogg|m4a)$/.test(name) ? "audio" : "visual"}:up${uploaded.size}`;
      gallery.set(id, { path: `/srv/wan/${name}`, kind: "image", bytes: body, settings: {} });
      return send(response, 200, { status: "uploaded", size: body.length, gallery_id: id });
    }
    const { bytes, kind } = gallery.get(name) ?? {
      bytes: new Uint8Array(),
      kind: "video" as const,
    };
    const head = { "content-type": TYPES[kind], "content-length": bytes.length };
    return response.writeHead(200, head).end(bytes);
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: state.calls,
    sources: state.sources,
    uploaded,
    get stopped() {
      return jobs.stopped > 0;
    },
    restart: () => jobs.forget(),
    async stop() {
      jobs.release();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function answerRpc(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  state: State,
): unknown {
  const { mcp = "1.10", foreign = false } = state.options;
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const place = mcp === "1.10" ? "/mcp/" : "/mcp";
  if (pathname.replace(/\/$/, "") !== "/mcp") return send(response, 404, "Not Found");
  if (pathname !== place) {
    const location = `http://${request.headers.host}${place}`;
    return response.writeHead(307, { location }).end();
  }
  const { accept = "", host = "" } = request.headers;
  const isLoopback = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host);
  if (mcp !== "1.10" && (foreign || !isLoopback)) return send(response, 421, "Invalid Host header");
  const json = mcp === "2.3" && accept.includes("*/*") ? [] : ["application/json"];
  const needed = [...json, ...(mcp === "1.10" ? ["text/event-stream"] : [])];
  if (needed.some((type) => !accept.includes(type))) {
    const message = `Not Acceptable: Client must accept ${needed.length > 1 ? "both " : ""}${needed.join(" and ")}`;
    return send(response, 406, {
      jsonrpc: "2.0",
      id: "server-error",
      error: { code: -32600, message },
    });
  }
  const rpc = JSON.parse(body.toString()) as Rpc;
  const reply = (result: unknown): unknown =>
    send(response, 200, { jsonrpc: "2.0", id: rpc.id, result });
  if (rpc.method === "tools/list") {
    state.calls.push("POST /mcp tools/list");
    return reply({ tools: Object.keys(state.tools).map((name) => ({ name, inputSchema: {} })) });
  }
  return reply(callTool(rpc, state));
}

function callTool({ params = {} }: Rpc, { options, calls, sources, tools }: State): unknown {
  const { name = "", arguments: args = {} } = params;
  calls.push(`POST /mcp ${name}`);
  const fail = (text: string) => ({ content: [{ type: "text", text }], isError: true });
  const tool = tools[name];
  if (tool === undefined) return fail(`Unknown tool: ${name}`);
  if (name === "wangp_generate") sources.push(args.source as Arguments);
  try {
    if (options.busy && name === "wangp_generate") {
      throw new Error("WanGP session already has a generation in progress");
    }
    const { value, list } = tool(args);
    const told = options.foreignAddresses ? withHost(value) : value;
    const items = told === null ? [] : list && Array.isArray(told) ? told : [told];
    return {
      content: items.map((item) => ({ type: "text", text: JSON.stringify(item, null, 2) })),
      ...(options.unstructured ? {} : { structuredContent: list ? { result: told } : told }),
      isError: false,
    };
  } catch (error) {
    const said = options.mcp === "2.3" ? "" : `: ${(error as Error).message}`;
    return fail(`Error executing tool ${name}${said}`);
  }
}

/** As a server behind another name would. */
function withHost(value: unknown): unknown {
  if (Array.isArray(value) || value === null) return value;
  const moved = Object.entries(Object(value)).map(([name, text]) => [
    name,
    name.endsWith("_url") ? `http://wan.internal:7860${text}` : text,
  ]);
  return Object.fromEntries(moved);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

function send(response: ServerResponse, status: number, value: unknown): unknown {
  const isText = typeof value === "string";
  response.writeHead(status, { "content-type": isText ? "text/plain" : "application/json" });
  return response.end(isText ? value : JSON.stringify(value));
}
