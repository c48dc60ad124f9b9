/** Where the test plugins lie, and the configuration that uses them. */
import { join, resolve } from "node:path";

const FOLDER = resolve(import.meta.dir, "..", "fixtures", "plugins");

export const fixture = (name: string): string => join(FOLDER, name);

/** One backend `work` whose journal lies in `folder`; `more` are lines below `backends:`. */
export function workConfig(folder: string, more = "", settings = ""): string {
  return `${settings}
backends:
  work: { use: ${fixture("work")}, journal: ${join(folder, "journal")}, concurrency: 4 }
${more}`;
}
