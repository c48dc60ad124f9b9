/**
 * A stand-in for Template Server.
 * Words in the prompt steer it: `steps=N`, `fail`, `oom`, `hang`, `null-output`, `slow-start`.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type Fake, readBehaviour } from "switchyard/sdk/testing";

export interface FakeTemplateServerOptions {
  /** 0, any free port, unless said. */
  readonly port?: number;
  /** Milliseconds of one step; 5 unless said. */
  readonly stepMs?: number;
}

interface Work {
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  progress: number;
  error?: string;
  file?: string;
  url?: string;
}

const RESIDENT_MIB = 4096;
/** A picture of one pixel. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

export async function startFakeTemplateServer(
  options: FakeTemplateServerOptions = {},
): Promise<Fake> {
  const { port = 0, stepMs = 5 } = options;
  const calls: string[] = [];
  const jobs = new Map<string, Work>();
  const loaded = new Set<string>();
  let stopped = false;

  function begin(prompt: string): string {
    const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(prompt);
    const work: Work = { state: "queued", progress: 0 };
    const id = `job-${jobs.size + 1}`;
    jobs.set(id, work);
    const advance = (step: number): void => {
      if (work.state === "cancelled") return;
      work.state = "running";
      if (oom || fail) {
        const error = oom ? "CUDA out of memory. Tried to allocate 2.00 GiB" : "a node failed";
        Object.assign(work, { state: "failed", error });
        return;
      }
      if (step > steps && !hang) {
        Object.assign(work, {
          state: "done",
          ...(nullOutput ? {} : { file: `${id}.png`, url: `/files/${id}.png` }),
        });
        return;
      }
      work.progress = Math.min(step / (steps + 1), 1);
      if (!hang) setTimeout(() => advance(step + 1), stepMs);
    };
    setTimeout(() => advance(1), slowStart ? 20 * stepMs : stepMs);
    return id;
  }

  async function answer(method: string, path: string, body: Record<string, unknown>) {
    const id = path.split("/")[2] ?? "";
    const work = jobs.get(id);
    if (path === "/version") return { version: "1.0.0" };
    if (path === "/models") {
      return ["base", "large"].map((name) => ({
        name,
        loaded_mib: loaded.has(name) ? RESIDENT_MIB : 0,
      }));
    }
    if (path === "/load") return { loaded: loaded.add(String(body.model)).size };
    if (path === "/unload") return { unloaded: loaded.delete(String(body.model)) };
    if (method === "POST" && path === "/jobs") {
      loaded.add(String(body.model));
      return { id: begin(String(body.prompt)) };
    }
    if (path.startsWith("/files/")) return PNG;
    if (!path.startsWith("/jobs/") || work === undefined) return undefined;
    if (method === "DELETE" && work.state !== "done") {
      work.state = "cancelled";
      stopped = true;
    }
    return work;
  }

  const server = createServer(async (request, response) => {
    const { method = "GET", url = "/" } = request;
    const { pathname } = new URL(url, "http://localhost");
    calls.push(`${method} ${pathname}`);
    const content = await answer(method, pathname, await readJson(request));
    if (content instanceof Buffer) {
      response.setHeader("content-type", "image/png").end(content);
      return;
    }
    response.statusCode = content === undefined ? 404 : 200;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(content ?? { error: `there is no ${pathname}` }));
  });
  await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    get stopped() {
      return stopped;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const piece of request) text += piece;
  return text === "" ? {} : JSON.parse(text);
}
