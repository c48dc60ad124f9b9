/**
 * Writes voices.json from the engine itself. Run it after every change of the engine's version,
 * then format the file: `bun plugins/espeak/write-voices.ts` (a test compares the file with the
 * engine).
 */
import { writeFile } from "node:fs/promises";
import { openSpeakers } from "./speakers.ts";

const speakers = openSpeakers(0);
const { voices, variants } = await speakers.list(AbortSignal.timeout(60_000));
await speakers.close();
const text = JSON.stringify({ voices, variants }, undefined, 2);
await writeFile(new URL("./voices.json", import.meta.url), `${text}\n`);
