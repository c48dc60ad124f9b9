/** A door in front of a server: while it is shut, connections to it are refused. Counts them. */
import { connect, createServer, type Server, type Socket } from "node:net";

export interface Gate {
  readonly url: string;
  /** Nobody gets in any more, and who is inside is thrown out. */
  shut(): Promise<void>;
  open(): Promise<void>;
  stop(): Promise<void>;
}

export async function startGate(behind: string): Promise<Gate> {
  const { hostname, port: inside } = new URL(behind);
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let port = 0;

  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };

  async function open(): Promise<void> {
    if (server) return;
    const opened = createServer((outer) => {
      const inner = connect(Number(inside), hostname);
      for (const socket of [outer, inner]) keep(socket);
      outer.pipe(inner).pipe(outer);
      outer.on("close", () => inner.destroy());
      inner.on("close", () => outer.destroy());
    });
    await new Promise<void>((ready, failed) => {
      opened.once("error", failed);
      opened.listen(port, "127.0.0.1", ready);
    });
    const address = opened.address();
    if (typeof address === "object" && address !== null) port = address.port;
    server = opened;
  }

  async function shut(): Promise<void> {
    const closing = server;
    server = undefined;
    const closed = new Promise<void>((done) => (closing ? closing.close(() => done()) : done()));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  await open();
  return { url: `http://127.0.0.1:${port}`, shut, open, stop: shut };
}
