/** docs/plugins.md: the plugin of its guide to the GPU compiles (tests/types) and keeps the rules. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { conformanceRules, type Fake } from "switchyard/sdk/testing";
import { signalBox } from "../types/plugin-guide.ts";

const ROOT = join(import.meta.dir, "../..");
const GPU_RULES = /cost|GPU without contradiction|residents|load|free|settings|routes|health/;

test("the guide shows the code that is compiled", () => {
  const text = readFileSync(join(ROOT, "docs/plugins.md"), "utf8");
  const [, guide = ""] = text.split("## How your plugin shares the GPU");
  const [, shown = ""] = /```ts\n([\s\S]*?)```/.exec(guide) ?? [];
  const source = readFileSync(join(ROOT, "tests/types/plugin-guide.ts"), "utf8");
  expect(shown.length).toBeGreaterThan(500);
  expect(source).toEndWith(shown);
});

test.each(["rest-job", "gradio", "subprocess"])(
  "the guide shows the adapter of a new %s plugin",
  (kind) => {
    const text = readFileSync(join(ROOT, "docs/plugins.md"), "utf8");
    const source = readFileSync(join(ROOT, "scripts/new-plugin", kind, "plugin.ts"), "utf8");
    const [, shown = ""] =
      new RegExp(`### ${kind}\\n\\n\`\`\`ts\\n([\\s\\S]*?)\`\`\``).exec(text) ?? [];
    expect(shown.length).toBeGreaterThan(200);
    expect(source).toContain(shown);
  },
);

/** The server that the guide imagines: it answers an unload at once and does it a little later. */
async function startSignalBox(): Promise<Fake> {
  const held = new Set<string>();
  const calls: string[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const { method, url = "" } = request;
      calls.push(`${method} ${url}`);
      const text = Buffer.concat(pieces).toString();
      const { model = "base" } = text === "" ? {} : JSON.parse(text);
      if (url === "/draw" || url === "/models/load") held.add(model);
      if (url === "/models/unload") setTimeout(() => held.delete(model), 30);
      const models = [...held].map((name) => ({ name, mib: 6_500 }));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(url === "/models" ? models : { drawn: true }));
    });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    stopped: false,
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

test("the guide's plugin keeps every rule about the GPU", async () => {
  const rules = conformanceRules(signalBox, { fake: startSignalBox });
  const kept: string[] = [];
  for (const { name, skip, check } of rules.filter((rule) => GPU_RULES.test(rule.name))) {
    if (skip !== undefined) continue;
    await check();
    kept.push(name);
  }
  expect(kept).toContain("load brings a model in");
  expect(kept).toContain("free makes a loaded model leave");
}, 60_000);
