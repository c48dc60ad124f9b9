/**
 * The plain loop over Node's `ws`: `<messages> <interval ms> <bytes>`; prints its port, begins at a
 * line on standard input.
 */
import { WebSocketServer } from "ws";

const [messages, intervalMs, bytes] = process.argv.slice(2).map(Number);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0 }, () => {
  console.log(`listening ${server.address().port}`);
});
process.stdin.once("data", async () => {
  const startMs = performance.now();
  for (let sent = 0; sent < messages; sent++) {
    const waitMs = startMs + sent * intervalMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const nowUs = Math.round((performance.timeOrigin + performance.now()) * 1_000);
    const text = `@${nowUs}@`.padEnd(bytes, ".");
    for (const client of server.clients) client.send(text);
  }
  for (const client of server.clients) client.close(1000);
});
