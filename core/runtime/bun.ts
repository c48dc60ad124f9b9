/** The server port on Bun. */
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

interface SocketState {
  readonly handlers: SocketHandlers;
  port?: ServerSocket;
}

type BunServer = Bun.Server<SocketState>;
type BunSocket = Bun.ServerWebSocket<SocketState>;

export function serveOnBun(options: ServeOptions): Promise<Server> {
  const server = Bun.serve<SocketState>({
    hostname: options.host,
    port: options.port,
    // True would let a second gateway share the port silently.
    reusePort: false,
    idleTimeout: IDLE_TIMEOUT_S,
    maxRequestBodySize: options.maxBodyBytes,
    development: false,
    fetch(request, self) {
      const connection = new BunConnection(request, self);
      const answer = options.fetch(request, connection);
      if (answer instanceof Response) return connection.upgraded ? undefined : answer;
      return answer.then((response) =>
        connection.upgraded ? undefined : response,
      ) as Promise<Response>;
    },
    websocket: {
      idleTimeout: IDLE_TIMEOUT_S,
      maxPayloadLength: MAX_FRAME_BYTES,
      open(socket) {
        socket.data.port = portOf(socket);
        socket.data.handlers.open(socket.data.port);
      },
      message(socket, message) {
        if (!socket.data.port) return;
        if (typeof message === "string") socket.data.handlers.message(socket.data.port, message);
        else socket.close(1003, "text frames only");
      },
      close(socket) {
        if (socket.data.port) socket.data.handlers.close(socket.data.port);
      },
    },
  });
  return Promise.resolve({
    port: server.port ?? options.port,
    async stop(graceMs) {
      // `stop()` never settles while a WebSocket is open, and `stop(true)` cuts answers.
      const gentle = server.stop().then(() => true);
      const timer = new Promise<false>((resolve) => setTimeout(resolve, graceMs, false).unref());
      if (!(await Promise.race([gentle, timer]))) await server.stop(true);
    },
  });
}

/** A class because one is made for every request: methods on a prototype cost nothing. */
class BunConnection implements Connection {
  upgraded = false;
  private readonly request: Request;
  private readonly server: BunServer;

  constructor(request: Request, server: BunServer) {
    this.request = request;
    this.server = server;
  }

  get peer(): string {
    return this.server.requestIP(this.request)?.address ?? "";
  }

  keepOpen(): void {
    this.server.timeout(this.request, 0);
  }

  upgrade(handlers: SocketHandlers, protocol?: string): boolean {
    this.upgraded = this.server.upgrade(this.request, {
      data: { handlers },
      ...(protocol ? { headers: { "sec-websocket-protocol": protocol } } : {}),
    });
    return this.upgraded;
  }
}

function portOf(socket: BunSocket): ServerSocket {
  return {
    send(text) {
      if (socket.getBufferedAmount() > MAX_BUFFERED_BYTES) return false;
      return socket.send(text) !== 0;
    },
    close: (code, reason) => socket.close(code, reason),
  };
}
