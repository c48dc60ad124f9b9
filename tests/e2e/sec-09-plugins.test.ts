/** SEC-09 for plugins: one that wants others' routes loses its own, and nobody else anything. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { RUNTIME, startGateway } from "../gateway.ts";
import { PUPPET } from "./table.ts";

const SHADOW = resolve(import.meta.dir, "..", "fixtures", "plugins", "shadow", "plugin.ts");

test(`a plugin that wants the gateway's routes is down with the reason, on ${RUNTIME}`, async () => {
  const config = `backends: { shadow: { use: ${SHADOW} }, puppet: { use: ${PUPPET} } }\n`;
  const gateway = await startGateway({ config });
  try {
    for (const path of ["/auth/keys", "/health", "/swagger"]) {
      const answer = await gateway.call("GET", path);
      expect([path, answer.status, answer.text.includes("stolen")]).toEqual([path, 200, false]);
    }
    expect((await gateway.call("GET", "/health", undefined, { key: null })).status).toBe(200);
    const { data } = await gateway.call("GET", "/backends");
    expect(data[0]).toMatchObject({ name: "shadow", status: "down", capabilities: [] });
    expect(data[0].reason).toContain('"POST /auth/keys" belongs to the gateway');
    const dance = await gateway.call("POST", "/generate/dance", { text: "a jig" });
    expect(dance.status).toBe(202);
  } finally {
    await gateway.remove();
  }
});
