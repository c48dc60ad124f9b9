/**
 * Runs the product's own VRAM scheduler on a virtual clock over a trace of jobs, so that anybody can
 * judge it with their own tools: `bun run simulate --help`.
 */
import { runSimulate } from "./simulator/command.ts";

process.exitCode = await runSimulate(process.argv.slice(2), {
  say: (line) => process.stderr.write(`${line}\n`),
  nowMs: () => performance.now(),
});
