/**
 * The fake's WebSocket side. A closing socket removes whatever is registered under its id, also its
 * successor: ComfyUI's own bug, after which a reconnected client hears nothing more.
 */
import type { ServerWebSocket } from "bun";

export interface Visitor {
  readonly sid: string;
  /** The first message asked for previews that name their prompt. */
  richPreviews: boolean;
  spoke: boolean;
}

type Socket = ServerWebSocket<Visitor>;

export interface Sockets {
  open(socket: Socket, queueRemaining: number): void;
  message(socket: Socket, text: string): void;
  close(socket: Socket): void;
  /** To one client, or to everybody without an id. */
  send(type: string, data: unknown, sid?: string): void;
  preview(image: Uint8Array, source: { prompt: string; node: string }, sid?: string): void;
  /** Closes every connection, as a restart does. */
  dropAll(): void;
  readonly size: number;
}

/** `plainPreviews`: as servers that do not know the newer kind. */
export function createSockets({ plainPreviews = false } = {}): Sockets {
  const registry = new Map<string, Socket>();
  const connected = new Set<Socket>();
  const targets = (sid: string | undefined) =>
    sid === undefined ? [...registry.values()] : [registry.get(sid)].filter((s) => s !== undefined);

  function send(type: string, data: unknown, sid?: string): void {
    for (const socket of targets(sid)) socket.send(JSON.stringify({ type, data }));
  }

  return {
    send,
    get size() {
      return connected.size;
    },
    open(socket, queueRemaining) {
      const { sid } = socket.data;
      connected.add(socket);
      registry.set(sid, socket);
      const status = { exec_info: { queue_remaining: queueRemaining } };
      socket.send(JSON.stringify({ type: "status", data: { status, sid } }));
    },
    message(socket, text) {
      const first = !socket.data.spoke;
      socket.data.spoke = true;
      const { type, data } = JSON.parse(text);
      if (!first || type !== "feature_flags") return;
      socket.data.richPreviews = !plainPreviews && data.supports_preview_metadata === true;
      send("feature_flags", { supports_preview_metadata: true }, socket.data.sid);
    },
    close(socket) {
      connected.delete(socket);
      registry.delete(socket.data.sid);
    },
    preview(image, { prompt, node }, sid) {
      for (const socket of targets(sid)) {
        socket.send(socket.data.richPreviews ? rich(image, prompt, node) : poor(image));
      }
    },
    dropAll() {
      for (const socket of connected) socket.terminate();
    },
  };
}

function poor(image: Uint8Array): Uint8Array<ArrayBuffer> {
  // Event 1, then format 1, which is JPEG.
  return new Uint8Array([0, 0, 0, 1, 0, 0, 0, 1, ...image]);
}

function rich(image: Uint8Array, prompt: string, node: string): Uint8Array<ArrayBuffer> {
  const ids = { node_id: node, prompt_id: prompt, display_node_id: node, real_node_id: node };
  const json = { ...ids, parent_node_id: null, image_type: "image/jpeg" };
  const text = Buffer.from(JSON.stringify(json));
  const head = Buffer.alloc(8);
  head.writeUInt32BE(4, 0);
  head.writeUInt32BE(text.length, 4);
  return new Uint8Array(Buffer.concat([head, text, image]));
}
