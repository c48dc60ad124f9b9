/**
 * Runs the benchmarks of bench/ and prints their tables as Markdown.
 * `bun run bench [name …] [--write]`, `bun run bench --list`.
 */
import { runBenches } from "../bench/run.ts";

process.exitCode = await runBenches(process.argv.slice(2));
