/**
 * What one `bun test` run did, read from its JUnit file, which unlike its text is made to be read.
 */

export interface Case {
  /** `file: suite > name`. */
  readonly title: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, from "(needs …)", "(skipped: …)" or "(does not apply: …)" in its name. */
  readonly reason?: string;
}

/**
 * `files` are those that were to run: one that left no trace could not be loaded, and has failed.
 */
export function readResults(xml: string, files: readonly string[], exitCode: number): Case[] {
  const cases = [...xml.matchAll(CASE)].map(readCase);
  const ran = new Set([...xml.matchAll(/<testsuite [^>]*?\bfile="([^"]*)"/g)].map(([, f]) => f));
  for (const file of files) {
    if (!ran.has(file)) cases.push({ title: `${file}: no test in it ran`, outcome: "failed" });
  }
  if (exitCode !== 0 && !cases.some(({ outcome }) => outcome === "failed")) {
    cases.push({ title: `bun test ended with code ${exitCode}`, outcome: "failed" });
  }
  return cases;
}

const REASON = / ?\((?:((?:needs|does not apply:) .+?)|skipped: (.+?))\)(?= > |$)/;
const CASE = /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function readCase([, attributes = "", body = ""]: RegExpMatchArray): Case {
  const suite = attribute(attributes, "classname");
  const name = attribute(attributes, "name");
  const title = `${attribute(attributes, "file")}: ${suite === "" ? name : `${suite} > ${name}`}`;
  if (body.includes("<failure") || body.includes("<error")) return { title, outcome: "failed" };
  if (!body.includes("<skipped")) return { title, outcome: "passed" };
  const [, needs, skipped] = REASON.exec(title) ?? [];
  const todo = body.includes('message="TODO"') ? "still to be written" : undefined;
  return { title: title.replace(REASON, ""), outcome: "skipped", reason: needs ?? skipped ?? todo };
}

function attribute(attributes: string, name: string): string {
  const text = new RegExp(`(?:^| )${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return text.replace(/&(lt|gt|quot|apos|amp|#\d+);/g, (whole, entity: string) => {
    const named = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" }[entity];
    return named ?? String.fromCodePoint(Number(whole.slice(2, -1)));
  });
}
