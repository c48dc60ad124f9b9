/**
 * A stand-in for one command: the file that plays the command, the calls that it notes, and how it
 * is removed again. The commands themselves are the other files of this folder.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Fake } from "switchyard/sdk/testing";

/** Notes of a run, one JSON value in each line: its arguments or request, and how it was told to stop. */
export interface Stage {
  /** What to put in front of the arguments, as an operator writes it in a `command` setting. */
  readonly command: readonly string[];
  readonly runs: readonly any[];
  /** For the conformance suite. Its URL leads nowhere, since a command has none. */
  start(): Promise<Fake>;
  remove(): void;
}

const NOTES = "--notes=";

/** `player` is a file of this folder, "stable-audio.ts". */
export function createStage(player: string): Stage {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-command-"));
  const notes = join(folder, "notes");
  const lines = (kind: string): any[] =>
    readFileSync(notes, "utf8")
      .split("\n")
      .filter((line) => line.startsWith(`${kind} `))
      .map((line) => JSON.parse(line.slice(kind.length + 1)));
  writeFileSync(notes, "");
  return {
    command: [process.execPath, join(import.meta.dirname, player), `${NOTES}${notes}`],
    get runs() {
      return lines("run");
    },
    async start() {
      writeFileSync(notes, "");
      return {
        url: "http://127.0.0.1:9",
        get calls() {
          return lines("run").map(() => "RUN");
        },
        get stopped() {
          return lines("stopped").length > 0;
        },
        async stop() {},
      };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** For the player: its own arguments without ours, and where to write what happened. */
export function onStage(): { readonly args: string[]; note(kind: string, what: unknown): void } {
  const [, , ...all] = process.argv;
  const file = all.find((argument) => argument.startsWith(NOTES))?.slice(NOTES.length);
  const note = (kind: string, what: unknown): void => {
    if (file !== undefined) appendFileSync(file, `${kind} ${JSON.stringify(what)}\n`);
  };
  process.on("SIGTERM", () => {
    note("stopped", true);
    process.exit(143);
  });
  return { args: all.filter((argument) => !argument.startsWith(NOTES)), note };
}

/** A tenth of a second of silence: 8 kHz, one channel, 16 bits. */
export function silence(): Uint8Array<ArrayBuffer> {
  const samples = 800;
  const bytes = Buffer.alloc(44 + samples * 2);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + samples * 2, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(8_000, 24);
  bytes.writeUInt32LE(16_000, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(samples * 2, 40);
  return bytes;
}

/** Ends as Python does: a traceback with paths of its own, and exit code 1. */
export function crash(message: string): never {
  console.error("Traceback (most recent call last):");
  console.error('  File "/opt/models/run.py", line 12, in <module>');
  console.error(message);
  process.exit(1);
}
