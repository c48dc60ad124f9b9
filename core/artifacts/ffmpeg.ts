/**
 * ffmpeg, as far as outputs need it: which formats it can write, and one sound made into another.
 * It reads one named local file as the one kind of file that it was found to be, and nothing else:
 * a playlist that calls itself a sound could otherwise name other files, and addresses.
 */
import { access, constants } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { GatewayError } from "../errors.ts";
import { CommandError, runCommand } from "../runtime/mod.ts";
import { BackendError } from "../sdk/errors.ts";
import type { AudioFormat } from "../sdk/formats.ts";

export interface Ffmpeg {
  /** What is missing for this format, in words; undefined when it can be written. */
  missing(format: AudioFormat): string | undefined;
  /** Errors: BACKEND_BAD_OUTPUT, STORAGE_FULL, STALLED, INTERNAL; the signal's reason. */
  convert(job: FfmpegJob): Promise<void>;
}

export interface FfmpegJob {
  readonly source: string;
  /** Found in the bytes. */
  readonly mediaType: string;
  readonly target: string;
  readonly format: AudioFormat;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** For people: what was found at the start. */
export interface FoundFfmpeg extends Ffmpeg {
  /** Why there is none; undefined when there is one. */
  readonly problem?: string;
}

export interface FfmpegOptions {
  /** `artifacts.ffmpeg`: a path, "auto" or "off". */
  readonly setting: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
}

const PROBE_LIMIT_MS = 5_000;
const TIMEOUT_MS = 5 * 60_000;

interface Recipe {
  readonly encoder: string;
  readonly arguments: readonly string[];
}

/** About transparent for music at a sensible size; mono stays mono. */
const RECIPES: Readonly<Record<AudioFormat, Recipe>> = {
  wav: { encoder: "pcm_s16le", arguments: ["-f", "wav"] },
  mp3: { encoder: "libmp3lame", arguments: ["-q:a", "2", "-f", "mp3"] },
  flac: { encoder: "flac", arguments: ["-f", "flac"] },
  opus: { encoder: "libopus", arguments: ["-b:a", "128k", "-f", "ogg"] },
  ogg: { encoder: "libvorbis", arguments: ["-q:a", "6", "-f", "ogg"] },
};

/** The reader for each kind of file that may be converted. */
const READERS: Readonly<Record<string, string>> = {
  "audio/wav": "wav",
  "audio/mpeg": "mp3",
  "audio/flac": "flac",
  "audio/ogg": "ogg",
  "audio/opus": "ogg",
  "audio/mp4": "mov",
  "audio/aac": "aac",
  "audio/webm": "matroska",
  "audio/x-matroska": "matroska",
};

export const isReadable = (mediaType: string): boolean => Object.hasOwn(READERS, mediaType);

/** Looks for it; never throws. */
export async function findFfmpeg({ setting, env, ...more }: FfmpegOptions): Promise<FoundFfmpeg> {
  const { timeoutMs = TIMEOUT_MS } = more;
  if (setting === "off") return without("conversion is turned off (artifacts.ffmpeg)");
  const program = setting === "auto" ? await onPath("ffmpeg", env.PATH) : setting;
  if (program === undefined) return without("ffmpeg is not installed on the gateway's machine");
  try {
    const argv = [program, "-hide_banner", "-nostdin", "-encoders"];
    const { code, stdout } = await runCommand(argv, {
      timeoutMs: PROBE_LIMIT_MS,
      env: environment(env),
    });
    if (code !== 0) return without(`${program} ended with code ${code} (artifacts.ffmpeg)`);
    const encoders = new Set(
      stdout.split("\n").flatMap((line) => line.trim().split(/\s+/)[1] ?? []),
    );
    return {
      missing(format) {
        const { encoder } = RECIPES[format];
        return encoders.has(encoder) ? undefined : `this ffmpeg has no encoder ${encoder}`;
      },
      convert: (job) => convert(program, job, environment(env), timeoutMs),
    };
  } catch (error) {
    return without(error instanceof Error ? error.message : String(error));
  }
}

function without(problem: string): FoundFfmpeg {
  return {
    problem,
    missing: () => problem,
    async convert({ format }) {
      throw new GatewayError("INTERNAL", `The output cannot be made into ${format}: ${problem}`);
    },
  };
}

async function convert(
  program: string,
  { source, mediaType, target, format, maxBytes, signal }: FfmpegJob,
  env: Record<string, string>,
  timeoutMs: number,
): Promise<void> {
  const reader = READERS[mediaType];
  if (reader === undefined) throw new Error(`${mediaType} is not converted`);
  const { encoder, arguments: own } = RECIPES[format];
  const argv = [
    ...[program, "-hide_banner", "-nostdin", "-loglevel", "error"],
    ...["-protocol_whitelist", "file", "-f", reader, "-threads", "1", "-i", `file:${source}`],
    // The sound alone: no cover, no text, and no title or comment, which often is the prompt.
    ...["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"],
    ...["-fflags", "+bitexact", "-flags:a", "+bitexact", "-threads", "1"],
    ...["-c:a", encoder, ...own, "-fs", String(maxBytes), "-y", `file:${target}`],
  ];
  try {
    const { code, stderr } = await runCommand(argv, { timeoutMs, signal, env });
    if (code === 0) return;
    if (/no space left|disk quota/i.test(stderr)) {
      throw new GatewayError("STORAGE_FULL", "The disk that holds the artifacts is full");
    }
    const why = reasonOf(stderr, [source, target]) || `code ${code}`;
    const message = `The output could not be made into ${format}: ffmpeg says ${why}`;
    throw new BackendError("BACKEND_BAD_OUTPUT", message);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const [code, why] =
      error.kind === "timeout"
        ? (["STALLED", `ffmpeg did not end within ${timeoutMs} ms`] as const)
        : (["INTERNAL", "ffmpeg could not be run; see artifacts.ffmpeg"] as const);
    const message = `The output could not be made into ${format}: ${why}`;
    throw new GatewayError(code, message, { cause: error });
  }
}

/** The last line that says something, without where the files lie. */
function reasonOf(stderr: string, paths: readonly string[]): string {
  const line = stderr.trim().split("\n").at(-1) ?? "";
  const told = paths.reduce((text, path) => text.replaceAll(path, "the file"), line);
  return told.replace(/^\[[^\]]*\]\s*/, "").slice(0, 200);
}

/** What it needs to start, and no secret of the gateway's. */
function environment(env: FfmpegOptions["env"]): Record<string, string> {
  const names = ["PATH", "LD_LIBRARY_PATH", "HOME"];
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}

async function onPath(name: string, path = ""): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter(isAbsolute)) {
    const file = join(folder, name);
    const found = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return file;
  }
  return undefined;
}
