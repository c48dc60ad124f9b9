/**
 * Which work is in the server's hands, written down in the backend's own folder: after a crash of
 * the gateway it tells what may still be computing there.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type as t } from "@sinclair/typebox";
import type { Context } from "../plugin.ts";
import { matches } from "../shape.ts";

const Entry = t.Object({
  session: t.String({ pattern: "^[0-9a-f]{1,64}$" }),
  endpoint: t.String(),
  appId: t.String(),
});
export type OpenEntry = Static<typeof Entry>;

/** Of one backend. */
export interface OpenWork {
  /** How much the server has of ours now. */
  readonly size: number;
  /** The returned function says that it is over. */
  add(entry: OpenEntry): Promise<() => Promise<void>>;
  /** What an earlier gateway left there, told once; `over` as `add` returns it. */
  leftBehind(): Promise<readonly { readonly entry: OpenEntry; over(): Promise<void> }[]>;
}

const FOLDER = "gradio";
const MAX_ENTRIES = 100;

export function createOpenWork({
  folder,
  log,
}: Pick<Context<unknown>, "folder" | "log">): OpenWork {
  const place = join(folder, FOLDER);
  const own = new Set<string>();
  let looked = false;

  async function remove(session: string): Promise<void> {
    own.delete(session);
    await rm(join(place, `${session}.json`), { force: true }).catch(() => {});
  }

  return {
    get size() {
      return own.size;
    },
    async add(entry) {
      own.add(entry.session);
      try {
        await mkdir(place, { recursive: true });
        await writeFile(join(place, `${entry.session}.json`), JSON.stringify(entry));
      } catch (error) {
        // The work is worth more than the note of it.
        log.warn("the note of running work was not written", { error: String(error) });
      }
      return () => remove(entry.session);
    },
    async leftBehind() {
      if (looked) return [];
      looked = true;
      const names = await readdir(place).catch((): string[] => []);
      const found: OpenEntry[] = [];
      for (const name of names.slice(0, MAX_ENTRIES)) {
        const entry = await read(join(place, name));
        if (entry === undefined) await rm(join(place, name), { force: true });
        else if (!own.has(entry.session)) found.push(entry);
      }
      for (const { session } of found) own.add(session);
      return found.map((entry) => ({ entry, over: () => remove(entry.session) }));
    },
  };
}

async function read(path: string): Promise<OpenEntry | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return matches(Entry, value) ? value : undefined;
  } catch {
    return undefined;
  }
}
