/** The only folder that names a runtime. */
import { serveOnBun } from "./bun.ts";
import { serveOnDeno } from "./deno.ts";
import type { ServeOptions, Server } from "./server.ts";

export { fileBody } from "./file-body.ts";
export { provideSdk } from "./modules.ts";
export type { Connection, Server, ServerSocket, SocketHandlers } from "./server.ts";

/** Throws when the port is taken. */
export function serve(options: ServeOptions): Promise<Server> {
  if (typeof Bun !== "undefined") return serveOnBun(options);
  const { Deno: deno } = globalThis as { Deno?: Parameters<typeof serveOnDeno>[0] };
  if (deno) return serveOnDeno(deno, options);
  throw new Error("Switchyard runs on Bun or Deno; this runtime is neither. Use `npm start`.");
}

/** For the start banner and GET /health. */
export function runtimeName(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>;
  if (bun) return `bun ${bun}`;
  return deno ? `deno ${deno}` : `node ${node}`;
}
