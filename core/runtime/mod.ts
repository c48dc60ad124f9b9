/** The only folder that names a runtime. */
import { serveOnBun } from "./bun.ts";
import { serveOnDeno } from "./deno.ts";
import type { ServeOptions, Server } from "./server.ts";

export {
  CommandError,
  type CommandOptions,
  type CommandResult,
  runCommand,
} from "./command.ts";
export { fileBody } from "./file-body.ts";
export { provideSdk } from "./modules.ts";
export type { Connection, Server, ServerSocket, SocketHandlers } from "./server.ts";

/** The address cannot be listened on; the message says why and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** Throws ListenError when the port is taken or not allowed, or the host is not this machine's. */
export async function serve(options: ServeOptions): Promise<Server> {
  try {
    return await start(options);
  } catch (cause) {
    throw new ListenError(messageFor(options, cause), { cause });
  }
}

function messageFor({ host, port }: ServeOptions, cause: unknown): string {
  if (cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE") {
    return `port ${port} on ${host} is taken, perhaps by another gateway. Stop it, or set SWITCHYARD_PORT.`;
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  const settings = "http.host and http.port, or SWITCHYARD_HOST and SWITCHYARD_PORT";
  return `cannot listen on ${host} port ${port} (${reason}). Check ${settings}.`;
}

function start(options: ServeOptions): Promise<Server> {
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
