// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration's own syntax.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LoadedConfig, watchConfig } from "../../../core/config/mod.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function watched(env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-watch-"));
  const path = join(folder, "gateway.yaml");
  writeFileSync(path, "http: {port: 1}\n");
  const seen: LoadedConfig[] = [];
  const watch = watchConfig(path, (loaded) => seen.push(loaded), env);
  ends.push(
    () => watch.close(),
    () => rmSync(folder, { recursive: true }),
  );
  return { folder, path, seen, watch };
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("the change was not noticed within 5 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe("A watched file", () => {
  test("is read anew when it is written, with the environment", async () => {
    const { path, seen } = watched({ P: "7" });
    writeFileSync(path, "http: {port: '${P}'}\n");
    await until(() => seen.length > 0);
    expect(seen[0]?.config.http.port).toBe(7);
    expect(seen[0]?.problems).toEqual([]);
  });

  test("is read anew each time an editor replaces it", async () => {
    const { folder, path, seen } = watched();
    for (const port of [2, 3]) {
      writeFileSync(join(folder, "new.tmp"), `http: {port: ${port}}\n`);
      renameSync(join(folder, "new.tmp"), path);
      await until(() => seen.at(-1)?.config.http.port === port);
    }
  });

  test("tells its problems", async () => {
    const { path, seen } = watched();
    writeFileSync(path, "http: {prot: 1}\n");
    await until(() => seen.length > 0);
    expect(seen[0]?.problems[0]?.message).toContain("did you mean `port`?");
  });

  test("says nothing about other files or about a save without a change", async () => {
    const { folder, path, seen } = watched();
    const other = join(folder, "other.yaml");
    let looks = 0;
    // It gets the same events as the watch in question, so its call shows that they have arrived.
    const witness = watchConfig(other, () => looks++, {});
    ends.unshift(() => witness.close());
    utimesSync(path, new Date(), new Date());
    writeFileSync(other, "log: {}\n");
    await until(() => looks > 0);
    writeFileSync(path, "http: {port: 9}\n");
    await until(() => seen.at(-1)?.config.http.port === 9);
    expect(seen.map(({ config }) => config.http.port)).toEqual([9]);
  });
});
