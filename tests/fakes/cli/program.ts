/** Installs the fake program in a folder, for tests: its settings, its calls, what it left. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Fake } from "switchyard/sdk/testing";

export const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

export interface FakeProgram {
  /** As an operator writes them for `use: subprocess`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly calls: string;
  install(): Promise<Fake>;
  /** The lines that it noted, with their first word. */
  noted(word: string): string[];
  remove(): void;
}

export function createFakeProgram(own: Readonly<Record<string, unknown>> = {}): FakeProgram {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-program-"));
  const calls = join(folder, "calls.txt");
  const installed = join(folder, "installed");
  const noted = (word: string): string[] =>
    readFileSync(calls, "utf8")
      .split("\n")
      .filter((line) => line.startsWith(`${word} `) || line === word)
      .map((line) => line.slice(word.length + 1));
  writeFileSync(calls, "");
  return {
    calls,
    noted,
    config: {
      command: [
        ...[process.execPath, WORKER, "--prompt-file={{in}}/prompt.txt", "--out", "{{out}}"],
        ...["--calls", calls, ["--seed", "{{seed}}"]],
      ],
      cwd: folder,
      needs: ["installed"],
      files: { "prompt.txt": "{{prompt}}" },
      output: "*.wav",
      except: "*_draft.wav",
      grace_ms: 1_000,
      ...own,
    },
    async install() {
      writeFileSync(installed, "");
      writeFileSync(calls, "");
      return {
        url: "http://127.0.0.1:9",
        get calls() {
          return noted("RUN").map(() => "RUN");
        },
        get stopped() {
          return noted("TERM").length > 0;
        },
        async stop() {
          rmSync(installed, { force: true });
        },
      };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
