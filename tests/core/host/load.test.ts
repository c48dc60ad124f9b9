/** How a plugin that does not load is told: with its reason, without the machine's folders. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadPlugin } from "../../../core/host/load.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-plugins-"));
  const write = (path: string, text: string) => writeFileSync(join(folder, path), text);
  mkdirSync(join(folder, "mine"));
  write("mine/plugin.ts", 'import "../lost-beside-it.ts";\n');
  mkdirSync(join(folder, "node_modules", "their-plugin"), { recursive: true });
  write("node_modules/their-plugin/package.json", '{"type":"module","exports":"./entry.js"}');
  write("node_modules/their-plugin/entry.js", 'import "./lost-inside.js";\n');
  write("throws.ts", 'throw new Error("\\u001b[31mno weights\\nin " + import.meta.filename);\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

for (const [use, names] of [
  ["./mine", "lost-beside-it.ts"],
  ["their-plugin", "lost-inside.js"],
  ["./throws.ts", "no weights in throws.ts"],
] as const) {
  test(`${use}: the reason names the fault, but no folder of the machine`, async () => {
    const loaded = await loadPlugin(use, folder);
    const reason = loaded.kind === "broken" ? loaded.reason : "";
    expect(reason).toStartWith(`plugin ${use} could not be loaded: `);
    expect(reason).toContain(names);
    expect(reason).not.toContain(folder);
    expect(Bun.stripANSI(reason).split("\n")).toEqual([reason]);
  });
}
