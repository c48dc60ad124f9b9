/**
 * The worker thread that holds the engine: it speaks one request at a time into a WAV file, so that
 * memory stays the same for a long text. The only file that imports the engine (GPL-3.0).
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { type MessagePort, parentPort } from "node:worker_threads";
import loadEngine from "@echogarden/espeak-ng-emscripten";
import type { Listed, Reply, Request, Result, SpeakRequest, Spoken } from "./protocol.ts";
import { WAV_HEADER_BYTES, wavHeader } from "./wav.ts";

const VARIANTS = "/usr/share/espeak-ng-data/voices/!v";

/** Read here: the package's own look-up never settles when the file is missing. */
const dataPath = createRequire(import.meta.url).resolve(
  "@echogarden/espeak-ng-emscripten/espeak-ng.data",
);
const engineModule = await loadEngine({
  getPreloadedPackage: () => readFileSync(dataPath).buffer,
  print: () => {},
  printErr: () => {},
});
const engine = new engineModule.eSpeakNGWorker();

if (parentPort !== null) listen(parentPort);

function listen(port: MessagePort): void {
  const reply = (message: Reply): void => port.postMessage(message);
  port.on("message", (request: Request) => {
    try {
      reply(answer(request, (fraction) => reply({ kind: "progress", fraction })));
    } catch (error) {
      reply({ kind: "failed", message: describe(error) });
    }
  });
}

function answer(request: Request, progress: (fraction: number) => void): Result {
  return request.kind === "speak" ? speak(request, progress) : list();
}

function speak(request: SpeakRequest, progress: (fraction: number) => void): Spoken {
  const { markup, path } = request;
  if (engine.set_voice(request.voice) !== 0) throw new Error(`no voice ${request.voice}`);
  engine.set_rate(request.wordsPerMinute);
  engine.set_pitch(request.pitch);
  const sampleRateHz = engine.get_samplerate();
  let samples = 0;
  let peak = 0;
  let told = 0;
  const file = openSync(path, "w");
  try {
    write(file, new Uint8Array(WAV_HEADER_BYTES), 0);
    engine.synthesize(markup, (heard, events) => {
      const bytes = new Uint8Array(heard.buffer, heard.byteOffset, heard.byteLength);
      write(file, bytes, WAV_HEADER_BYTES + samples * heard.BYTES_PER_ELEMENT);
      samples += heard.length;
      for (const sample of heard) peak = Math.max(peak, Math.abs(sample));
      const fraction = (events.at(-1)?.text_position ?? 0) / markup.length;
      if (fraction >= told + 0.01) {
        told = Math.min(fraction, 1);
        progress(told);
      }
      return false;
    });
    write(file, wavHeader(samples, sampleRateHz), 0);
  } finally {
    closeSync(file);
  }
  return { kind: "spoken", sampleRateHz, samples, peak };
}

/** A write may be cut short, and says so only by its result. */
function write(file: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(file, bytes, at, bytes.length - at, position + at);
  }
}

function list(): Listed {
  const voices = engine.list_voices().map(({ name, identifier, languages }) => ({
    name: name.trim(),
    identifier,
    languages: languages.map((language) => ({ tag: language.name, priority: language.priority })),
  }));
  const variants = engineModule.FS.readdir(VARIANTS)
    .filter((name) => !name.startsWith(".") && engine.set_voice(`gmw/en-US+${name}`) === 0)
    .map((name) => {
      const text = engineModule.FS.readFile(`${VARIANTS}/${name}`, { encoding: "utf8" });
      const gender = /^gender\s+(male|female)/m.exec(text)?.[1];
      return { name, ...(gender === undefined ? {} : { gender }) };
    });
  return { kind: "listed", voices, variants };
}

/** Without the paths that an error of the file system has in its message. */
function describe(error: unknown): string {
  if (error instanceof Error && "code" in error) return `the temporary file: ${error.code}`;
  return error instanceof Error ? error.message : String(error);
}
