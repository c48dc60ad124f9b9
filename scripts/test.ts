/**
 * The whole test suite: everything on Bun, and the end-to-end tests with the gateway on Deno too.
 * `npm test -- [part of a file's path …] [bun test flags]`; SWITCHYARD_SOAK=1 adds the soak tests.
 * The last line is always `N passed, N failed, N skipped`.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Case } from "./testing/results.ts";
import { runSuite } from "./testing/suite.ts";

const ROOT = join(import.meta.dir, "..");
const TOTAL_LIMIT_MS = 13 * 60_000;
/** How the suite marks a rule that a plugin gives no occasion for. */
const DOES_NOT_APPLY = "does not apply";
const SOAK_LIMIT_MS = 3 * 60 * 60_000;

const soak = process.env.SWITCHYARD_SOAK === "1";
process.chdir(ROOT);
process.exitCode = report(await runEverything(process.argv.slice(2)));

async function runEverything(args: readonly string[]): Promise<Case[]> {
  const firstFlag = args.findIndex((argument) => argument.startsWith("-"));
  const parts = firstFlag === -1 ? args : args.slice(0, firstFlag);
  const flags = firstFlag === -1 ? [] : args.slice(firstFlag);
  const files = testFiles(parts);
  if (files.length === 0) {
    return [{ title: `no test file has ${parts.join(" or ")} in its path`, outcome: "failed" }];
  }
  const endToEnd = files.filter((file) => file.startsWith("tests/e2e/"));
  const others = files.filter((file) => !file.startsWith("tests/e2e/"));
  const deno = pathOfDeno();
  const runtimes = { SWITCHYARD_BUN: process.execPath, SWITCHYARD_DENO: deno ?? "" };
  const isPlugin = (file: string) => /^tests\/(plugins|conformance|twins)\//.test(file);
  // Two at a time: most of a test's time is spent on waiting for a server or a process.
  const rounds = [
    [
      { title: "units, reliability, structure", files: others.filter((file) => !isPlugin(file)) },
      { title: "plugins", files: others.filter(isPlugin) },
    ],
    [
      { title: "end to end on Bun", files: endToEnd },
      { title: "end to end on Deno", files: endToEnd, runtime: "deno" },
    ],
  ];

  const end = performance.now() + (soak ? SOAK_LIMIT_MS : TOTAL_LIMIT_MS);
  const cases: Case[] = [];
  for (const round of rounds) {
    const suites = round.filter(({ files }) => files.length > 0);
    const ran = suites.map(async ({ title, files, runtime = "bun" }, at): Promise<Case[]> => {
      if (runtime === "deno" && deno === undefined) {
        return [{ title: `${title}: Deno could not be installed (see above)`, outcome: "failed" }];
      }
      const env = { ...runtimes, SWITCHYARD_TEST_RUNTIME: runtime };
      const limitMs = Math.max(0, end - performance.now());
      return [...(await runSuite({ title, files, flags, env, limitMs, quiet: at > 0 }))];
    });
    cases.push(...(await Promise.all(ran)).flat());
  }
  return cases;
}

function testFiles(parts: readonly string[]): string[] {
  const all = [...new Bun.Glob("tests/**/*.test.ts").scanSync(".")]
    .map((file) => file.replaceAll("\\", "/"))
    .sort();
  return all
    .filter((file) => soak || !file.endsWith(".soak.test.ts"))
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
}

/** Undefined when there is none for this machine; the launcher has then said why. */
function pathOfDeno(): string | undefined {
  const launcher = join(ROOT, "scripts/launch.mjs");
  const { status, stdout } = spawnSync(process.execPath, [launcher, "path", "deno"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return status === 0 ? stdout.trim() : undefined;
}

/** Prints the summary and returns the exit code. */
function report(cases: readonly Case[]): number {
  const of = (outcome: Case["outcome"]) => cases.filter((entry) => entry.outcome === outcome);
  const reasons = new Map<string, Set<string>>();
  for (const { title, reason = "no reason given" } of of("skipped")) {
    reasons.set(reason, (reasons.get(reason) ?? new Set()).add(title));
  }
  if (!soak) {
    const left = [...new Bun.Glob("tests/**/*.soak.test.ts").scanSync(".")];
    if (left.length > 0) console.log(`\nNot run without SWITCHYARD_SOAK=1: ${left.join(", ")}`);
  }
  for (const [reason, titles] of reasons) {
    // Rules of the conformance suite, many for each plugin: what matters of them is the reason.
    if (reason.startsWith(DOES_NOT_APPLY)) {
      console.log(`\nSkipped (${reason}): ${titles.size} rules`);
      continue;
    }
    console.log(`\nSkipped (${reason}):`);
    for (const title of titles) console.log(`  ${title}`);
  }
  const failed = of("failed");
  if (failed.length > 0) console.log(`\nFailed:`);
  for (const { title } of failed) console.log(`  ${title}`);
  const counts = [of("passed").length, failed.length, of("skipped").length];
  console.log(`\n${counts[0]} passed, ${counts[1]} failed, ${counts[2]} skipped`);
  return failed.length > 0 || counts[0] === 0 ? 1 : 0;
}
