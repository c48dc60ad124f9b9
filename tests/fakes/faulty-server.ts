/**
 * A server that misbehaves in one way, over a raw socket: the faults of REL-14. Put it in front
 * of a healthy fake (`otherwise`) to break only the requests that `match` picks.
 */
import type { Socket } from "node:net";
import { type Fault, type FaultOptions, misbehave } from "./faulty/answers.ts";
import { bodyOf, listen, passThrough, readRequest } from "./faulty/wire.ts";

export { FAULTS, type Fault, type FaultOptions } from "./faulty/answers.ts";

export interface FaultyServer {
  readonly url: string;
  /** "GET /x" of every request that misbehaved. */
  readonly calls: readonly string[];
  /** The heads of these requests, as they came. */
  readonly heads: readonly string[];
  /** What arrived at the other host to which `redirect` points; must stay empty. */
  readonly canary: readonly string[];
  /** Ends the connections that misbehave, as a server that is killed at last. */
  release(): void;
  stop(): Promise<void>;
}

export async function startFaultyServer(
  fault: Fault,
  options: FaultOptions = {},
): Promise<FaultyServer> {
  const calls: string[] = [];
  const heads: string[] = [];
  const canary: string[] = [];
  const broken = new Set<Socket>();
  const trap = await listen((socket) => socket.on("data", (bytes) => canary.push(String(bytes))));
  const front = await listen(async (socket) => {
    const request = await readRequest(socket);
    if (request === undefined) return;
    const [path = "", query = ""] = request.target.split("?", 2);
    const isPicked = options.match?.(path, request.method, bodyOf(request), query) ?? true;
    if (options.otherwise !== undefined && !isPicked) {
      passThrough(socket, request, new URL(options.otherwise));
      return;
    }
    calls.push(`${request.method} ${path}`);
    heads.push(request.head);
    broken.add(socket);
    socket.on("close", () => broken.delete(socket));
    await misbehave(fault, socket, request, options, `http://127.0.0.1:${trap.port}`);
  });
  return {
    url: `http://127.0.0.1:${front.port}`,
    calls,
    heads,
    canary,
    release: () => {
      for (const socket of broken) socket.destroy();
    },
    stop: async () => void (await Promise.all([front.stop(), trap.stop()])),
  };
}
