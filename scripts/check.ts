/**
 * Every check in one command: `npm run check`, or some of them: `npm run check -- lint types`.
 * `npm run format` writes what `format` asks for. Each stage runs, whatever those before it said.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const write = process.argv.includes("--write");

/** In order, the quick ones first. Each is the arguments of Bun. */
const STAGES: Readonly<Record<string, readonly string[]>> = {
  format: ["x", "--bun", "biome", "format", ...(write ? ["--write"] : []), "."],
  lint: ["x", "--bun", "biome", "lint", "--error-on-warnings", "."],
  types: ["x", "--bun", "tsc", "--noEmit"],
  schema: ["scripts/schema.ts", "--check"],
  structure: ["test", "--dots", "./tests/structure.test.ts"],
  tests: ["scripts/test.ts"],
};

interface Outcome {
  readonly stage: string;
  readonly passed: boolean;
  readonly seconds: string;
}

const asked = process.argv.slice(2).filter((argument) => argument !== "--write");
const unknown = asked.filter((stage) => !(stage in STAGES));
if (unknown.length > 0) {
  console.error(
    `No such check: ${unknown.join(", ")}. There are: ${Object.keys(STAGES).join(", ")}`,
  );
  process.exit(2);
}

const outcomes = Object.keys(STAGES)
  .filter((stage) => asked.length === 0 || asked.includes(stage))
  .map(runStage);
console.log();
for (const { stage, passed, seconds } of outcomes) {
  console.log(`${passed ? "ok    " : "FAILED"}  ${stage.padEnd(10)} ${seconds.padStart(6)} s`);
}
process.exitCode = outcomes.every(({ passed }) => passed) ? 0 : 1;

function runStage(stage: string): Outcome {
  console.log(`\n▶ ${stage}`);
  const start = performance.now();
  const args = STAGES[stage] ?? [];
  const script = args.find((argument) => argument.startsWith("scripts/"));
  const missing = script !== undefined && !existsSync(join(ROOT, script));
  if (missing) console.error(`There is no ${script}.`);
  const status = missing
    ? 1
    : spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit" }).status;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  return { stage, passed: status === 0, seconds };
}
