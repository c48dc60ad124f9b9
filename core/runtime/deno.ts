/** The server port on Deno, named only as far as it is used. */
import {
  type Connection,
  IDLE_TIMEOUT_S,
  MAX_BUFFERED_BYTES,
  MAX_FRAME_BYTES,
  type ServeOptions,
  type Server,
  type ServerSocket,
  type SocketHandlers,
} from "./server.ts";

interface DenoApi {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen(): void },
    fetch: (
      request: Request,
      info: { remoteAddr: { hostname?: string } },
    ) => Promise<Response> | Response,
  ): { addr: { port: number }; shutdown(): Promise<void>; finished: Promise<void> };
  upgradeWebSocket(
    request: Request,
    options: { protocol?: string; idleTimeout: number },
  ): { socket: WebSocket; response: Response };
}

export function serveOnDeno(deno: DenoApi, options: ServeOptions): Promise<Server> {
  const cut = new AbortController();
  const server = deno.serve(
    { hostname: options.host, port: options.port, signal: cut.signal, onListen() {} },
    async (request, info) => {
      let upgraded: Response | undefined;
      const connection: Connection = {
        peer: info.remoteAddr.hostname ?? "",
        keepOpen() {},
        upgrade(handlers, protocol) {
          const opened = openSocket(deno, request, protocol);
          if (!opened) return false;
          attach(opened.socket, handlers);
          upgraded = opened.response;
          return true;
        },
      };
      const response = await options.fetch(request, connection);
      return upgraded ?? response;
    },
  );
  return Promise.resolve({
    port: server.addr.port,
    async stop(graceMs) {
      const timer = setTimeout(() => cut.abort(), graceMs);
      await server.shutdown().catch(() => undefined);
      clearTimeout(timer);
    },
  });
}

/** Undefined when the request is no complete WebSocket handshake, at which Deno throws. */
function openSocket(deno: DenoApi, request: Request, protocol: string | undefined) {
  const { method, headers } = request;
  if (method !== "GET" || headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
  try {
    return deno.upgradeWebSocket(request, {
      idleTimeout: IDLE_TIMEOUT_S,
      ...(protocol ? { protocol } : {}),
    });
  } catch {
    return undefined;
  }
}

function attach(socket: WebSocket, handlers: SocketHandlers): void {
  const port: ServerSocket = {
    send(text) {
      if (socket.readyState !== WebSocket.OPEN) return true;
      if (socket.bufferedAmount > MAX_BUFFERED_BYTES) return false;
      socket.send(text);
      return true;
    },
    close(code, reason) {
      if (socket.readyState === WebSocket.OPEN) socket.close(code, reason);
    },
  };
  socket.onopen = () => handlers.open(port);
  socket.onclose = () => handlers.close(port);
  socket.onerror = () => {};
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") socket.close(1003, "text frames only");
    else if (event.data.length > MAX_FRAME_BYTES) socket.close(1009, "message too big");
    else handlers.message(port, event.data);
  };
}
