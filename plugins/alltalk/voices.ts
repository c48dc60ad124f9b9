/** Whose voice: what a request may name, and which one it gets. */
import { BackendError, nearest } from "switchyard/sdk";
import { languageOf, type Speech } from "./input.ts";
import type { Server } from "./server.ts";
import type { Settings } from "./settings.ts";

export interface VoiceEntry {
  /** What a request writes in `voice`. */
  readonly name: string;
  readonly kind: "voice";
  /** Left out by voices that speak every language of their engine. */
  readonly language?: string;
  readonly engine: string;
}

export function listVoices(
  { voices = [], engine }: Server,
  language?: string,
): readonly VoiceEntry[] {
  return voices
    .map((name) => ({ name, kind: "voice" as const, ...tongue(name), engine }))
    .filter((voice) => language === undefined || speaks(voice.language, language));
}

/** The voice to ask for; undefined for AllTalk's own. Throws BACKEND_REJECTED. */
export function chooseVoice(
  { voice, language }: Pick<Speech, "voice" | "language">,
  config: Settings,
  server: Server,
): string | undefined {
  if (voice !== undefined) return existing(voice, server, "voice");
  const usual = config.voice && existing(config.voice, server, "the setting voice");
  if (language === undefined || server.current.languages_capable !== false) return usual;
  const entries = listVoices(server);
  if (usual !== undefined && speaks(tongue(usual).language, language)) return usual;
  const fitting = entries.find((entry) => entry.language && speaks(entry.language, language));
  if (fitting !== undefined || entries.every((entry) => !entry.language)) return fitting?.name;
  const spoken = [...new Set(entries.flatMap((entry) => entry.language ?? []))].join(", ");
  const message = `language: no voice of AllTalk's ${server.engine} speaks "${language}"`;
  throw new BackendError("BACKEND_REJECTED", `${message}; there are voices for ${spoken}`);
}

function existing(name: string, { voices, engine }: Server, field: string): string {
  if (voices?.includes(name)) return name;
  if (voices === undefined) {
    const message = `${field}: AllTalk's ${engine} has a single voice; leave it out`;
    throw new BackendError("BACKEND_REJECTED", message);
  }
  const close = nearest(name, voices);
  const hint = close === undefined ? "GET /tts/voices lists them" : `did you mean "${close}"?`;
  throw new BackendError("BACKEND_REJECTED", `${field}: AllTalk has no voice "${name}"; ${hint}`);
}

/** Piper's voices are named for their language: `en_US-ljspeech-high.onnx`. */
function tongue(name: string): { readonly language?: string } {
  const [, language, region] = /^([a-z]{2,3})_([A-Z]{2})-/.exec(name) ?? [];
  return language === undefined ? {} : { language: `${language}-${region}` };
}

function speaks(voice: string | undefined, asked: string): boolean {
  if (voice === undefined) return languageOf(asked) !== undefined;
  const [tag, wanted] = [voice.toLowerCase(), asked.toLowerCase().replaceAll("_", "-")];
  return tag === wanted || tag.startsWith(`${wanted}-`);
}
