/** A part of a request as AllTalk's form; JSON it does not take. */
import { BackendError, matches } from "switchyard/sdk";
import { languageOf, type Speech } from "./input.ts";
import { Options } from "./options.ts";
import type { Server } from "./server.ts";
import type { Settings } from "./settings.ts";
import { chooseVoice } from "./voices.ts";

export type Fields = Readonly<Record<string, string>>;

/** What all parts of a request have in common. Throws BACKEND_REJECTED. */
export function fieldsOf(input: Speech, config: Settings, server: Server): Fields {
  const { speed, language = config.language } = input;
  const options: Options = matches(Options, input.options) ? input.options : {};
  const canPace = server.version === 2 && server.current.generationspeed_capable !== false;
  if (speed !== 1 && !canPace) {
    const message = `speed: AllTalk's ${server.engine} cannot change it; leave it out`;
    throw new BackendError("BACKEND_REJECTED", message);
  }
  // Version 1 wants every field that it knows, and does not guess languages.
  const voice = chooseVoice(input, config, server) ?? (server.version === 1 ? first(server) : "");
  const code = languageOf(language) ?? "auto";
  const common = {
    text_filtering: options.text_filtering ?? "standard",
    ...(voice !== "" && { character_voice_gen: voice }),
    ...narrator(options, voice),
    language: server.version === 1 && code === "auto" ? "en" : code,
    // With the time in its name no file replaces another one.
    output_file_timestamp: "true",
    // Else the server may play it aloud where it stands.
    autoplay: "false",
    autoplay_volume: "0.1",
  };
  const { temperature, repetition_penalty, pitch } = options;
  const fine = { speed, temperature, repetition_penalty, pitch };
  return server.version === 1 ? common : { ...common, ...words(fine) };
}

function narrator({ narrator_voice, text_not_inside }: Options, voice: string): Fields {
  return {
    narrator_enabled: String(narrator_voice !== undefined),
    ...((narrator_voice ?? voice) !== "" && { narrator_voice_gen: narrator_voice ?? voice }),
    text_not_inside: text_not_inside ?? "character",
  };
}

function first({ voices }: Server): string {
  const [voice] = voices ?? [];
  if (voice !== undefined) return voice;
  throw new BackendError("BACKEND_FAILED", "AllTalk has no voices; add a WAV file to its folder");
}

function words(values: Readonly<Record<string, number | undefined>>): Fields {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}
