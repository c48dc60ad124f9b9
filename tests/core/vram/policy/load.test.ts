/** Loading a policy of one's own: what is wrong with the file is said with its name. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadPolicy } from "../../../../core/vram/policy/load.ts";

const folder = mkdtempSync(join(tmpdir(), "switchyard-policy-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The path of a module with this text. */
function written(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe("a policy of one's own", () => {
  test("is loaded from its path", async () => {
    const path = written("own.ts", `export const policy = { name: "own", next() {} };`);
    expect(await loadPolicy(path)).toMatchObject({ name: "own" });
  });

  const wrong: Record<string, readonly [string, string]> = {
    "with a mistake in it is refused with the line": [`\n\nexport const policy = {`, "(line 3, "],
    "that throws while it is loaded is refused with its reason": [
      `throw new Error("no licence");`,
      "cannot be loaded: no licence",
    ],
    "under another name is refused": [
      "export default { name: 'x', next() {} };",
      "must export `policy`",
    ],
    "without next is refused": [`export const policy = { name: "x" };`, "must export `policy`"],
    "with an order that nobody knows is refused": [
      `export const policy = { name: "x", order: "random", next() {} };`,
      '`order` is "random"',
    ],
  };
  for (const [what, [text, reason]] of Object.entries(wrong)) {
    test(what, async () => {
      const path = written(`${what.replaceAll(" ", "-")}.ts`, text);
      const error = await loadPolicy(path).catch((it: Error) => it);
      expect((error as Error).message).toStartWith(path);
      expect((error as Error).message).toContain(reason);
    });
  }

  test("that is not there is refused with the place where it was looked for", async () => {
    const name = "./nowhere/mine.ts";
    const expected = `${name} cannot be loaded: there is no such file; it would be ${process.cwd()}`;
    await expect(loadPolicy(name)).rejects.toThrow(expected);
  });

  test("that is a folder is refused", async () => {
    await expect(loadPolicy(folder)).rejects.toThrow("there is no such file");
  });
});
