/**
 * A client's two ways to watch a job: a WebSocket and Server-Sent Events, with all that arrived.
 */
import { eventually, type Gateway } from "../gateway.ts";

export interface Message {
  readonly type: string;
  readonly seq: number;
  readonly data: any;
}

export interface Watcher {
  readonly socket: WebSocket;
  /** Everything received so far, in order. */
  readonly messages: Message[];
  /** Settles with the close code. */
  readonly closed: Promise<number>;
  /** Settles with the first message that fits. */
  first(type: string): Promise<Message>;
}

interface SocketOptions {
  readonly key?: string | null;
  readonly headers?: Record<string, string>;
  readonly protocols?: string[];
}

const LIMIT_MS = 10_000;

export function openSocket(gateway: Gateway, path: string, options: SocketOptions = {}): Watcher {
  const { key = gateway.key, headers = {}, protocols } = options;
  const all = { ...(key ? { "x-api-key": key } : {}), ...headers };
  const url = gateway.url.replace("http", "ws") + path;
  // Bun's WebSocket takes headers, which its types do not say together with protocols.
  const socket = new WebSocket(url, { headers: all, protocols } as any);
  const messages: Message[] = [];
  const closed = new Promise<number>((resolve, reject) => {
    const late = setTimeout(reject, LIMIT_MS, new Error(`${path} was not closed`));
    socket.onclose = ({ code }) => {
      clearTimeout(late);
      resolve(code);
    };
  });
  closed.catch(() => undefined);
  socket.onmessage = ({ data }) => messages.push(JSON.parse(String(data)));
  socket.onerror = () => {};
  const first = (type: string) =>
    eventually(`a message ${type} on ${path}`, () => messages.find((it) => it.type === type));
  return { socket, messages, closed, first };
}

export interface Stream {
  readonly status: number;
  readonly headers: Headers;
  readonly events: (Message & { id: string; event: string })[];
  /** Settles when the gateway ends the stream. */
  readonly ended: Promise<void>;
  /** The client goes away. */
  leave(): void;
  first(type: string): Promise<Message>;
}

export async function openStream(
  gateway: Gateway,
  method: string,
  path: string,
  {
    body,
    headers = {},
    key = gateway.key,
  }: { body?: unknown; headers?: object; key?: string | null } = {},
): Promise<Stream> {
  const gone = new AbortController();
  const response = await fetch(gateway.url + path, {
    method,
    signal: gone.signal,
    headers: {
      accept: "text/event-stream",
      ...(key ? { "x-api-key": key } : {}),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const events: Stream["events"] = [];
  const ended = read(response, events).catch((error) => {
    if (!gone.signal.aborted) throw error;
  });
  return {
    status: response.status,
    headers: response.headers,
    events,
    ended,
    leave: () => gone.abort(),
    first: (type) => eventually(`an event ${type}`, () => events.find((it) => it.type === type)),
  };
}

async function read(response: Response, events: Stream["events"]): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const fields = Object.fromEntries(
        block.split("\n").map((line) => {
          const colon = line.indexOf(":");
          return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
        }),
      );
      if (fields.data)
        events.push({ ...JSON.parse(fields.data), id: fields.id, event: fields.event });
    }
  }
}
