/** The HTTP server port: what the gateway needs of a runtime, the same on Bun and on Deno. */

/** What the runtime knows about a connection that a `Request` does not carry. */
export interface Connection {
  /** Peer IP address, without port; "" when unknown. */
  readonly peer: string;
  /** Lifts the idle timeout, for answers that may be silent for long. */
  keepOpen(): void;
  /** Turns the request into a WebSocket; false when it does not ask for one. */
  upgrade(handlers: SocketHandlers, protocol?: string): boolean;
}

export interface SocketHandlers {
  open(socket: ServerSocket): void;
  message(socket: ServerSocket, text: string): void;
  close(socket: ServerSocket): void;
}

export interface ServerSocket {
  /** False when the peer reads too slowly and the frame was not taken. */
  send(text: string): boolean;
  close(code: number, reason: string): void;
}

export interface ServeOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** The runtime's own cap on a request body, in bytes; the gateway's smaller one answers first. */
  readonly maxBodyBytes: number;
  readonly fetch: (request: Request, connection: Connection) => Promise<Response> | Response;
}

export interface Server {
  readonly port: number;
  /** Stops accepting, waits up to `graceMs` for answers under way, then cuts the rest. */
  stop(graceMs: number): Promise<void>;
}

/** Seconds without a byte before a connection is closed. */
export const IDLE_TIMEOUT_S = 120;
/** Largest frame taken from a client, in bytes. */
export const MAX_FRAME_BYTES = 64 * 1024;
/** Bytes that may wait for a slow reader before its socket is closed. */
export const MAX_BUFFERED_BYTES = 1024 * 1024;
