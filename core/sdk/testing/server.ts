/** What rules about hooks share: how long they may take, and servers that are not the plugin's. */
import { createServer, type RequestListener } from "node:http";
import type { Subject } from "./cases.ts";
import { createTestContext, type TestContext } from "./context.ts";

const HOOK_MS = 10_000;
/** How long a silent server is waited for. */
export const SILENT_MS = 300;

export const hookMs = ({ cases }: Subject): number => cases.hookMs ?? HOOK_MS;
export const soon = (subject: Subject): AbortSignal => AbortSignal.timeout(hookMs(subject));

/** Runs `work` with a context whose server answers as `listener` does. */
export async function withServer(
  { plugin, cases }: Subject,
  listener: RequestListener,
  work: (ctx: TestContext) => Promise<void>,
): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const ctx = createTestContext(plugin, `http://127.0.0.1:${port}`, cases.config);
  try {
    await work(ctx);
  } finally {
    await plugin.close?.(ctx);
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
}
