/** How the fake Gradio server reads requests and answers them. */
import type { IncomingMessage, ServerResponse } from "node:http";

export interface Answer {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function jsonOf(request: IncomingMessage): Promise<any> {
  return JSON.parse((await bodyOf(request)).toString());
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

/** JSON as it stands: a number beyond 2^53 survives. */
export function textOf(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "application/json" }).end(text);
}

export function refuse(response: ServerResponse, status: number, detail: string): void {
  sendJson(response, status, { detail });
}
