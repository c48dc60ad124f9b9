/**
 * Many WebSocket subscribers of one source, in a process of its own: `<url> <count> [key]`. Prints
 * "ready" when all are open and, when all have closed, every delay from the `@microseconds@` in a
 * message to its arrival, as percentiles.
 */
import { percentile } from "../tools/statistics.ts";

const [url = "", count = "1", key = ""] = process.argv.slice(2);
const OPENING_AT_ONCE = 50;
const delaysMs: number[] = [];
let bytes = 0;
let closed = 0;

const total = Number(count);
for (let opened = 0; opened < total; opened += OPENING_AT_ONCE) {
  const wave = Math.min(OPENING_AT_ONCE, total - opened);
  await Promise.all(Array.from({ length: wave }, subscribe));
}
console.log("ready");

function subscribe(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      headers: key === "" ? {} : { "x-api-key": key },
    } as never);
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`no WebSocket to ${url}`));
    socket.onmessage = ({ data }) => arrived(String(data));
    socket.onclose = () => {
      if (++closed === total) finish();
    };
  });
}

function arrived(text: string): void {
  const start = text.indexOf("@");
  if (start < 0) return;
  const nowMs = performance.timeOrigin + performance.now();
  delaysMs.push(nowMs - Number(text.slice(start + 1, text.indexOf("@", start + 1))) / 1_000);
  bytes = text.length;
}

function finish(): void {
  const result = {
    messages: delaysMs.length,
    bytes,
    p50Ms: percentile(delaysMs, 0.5),
    p99Ms: percentile(delaysMs, 0.99),
  };
  console.log(`RESULT ${JSON.stringify(result)}`);
  process.exit(0);
}
