/** One job: choose the voice, let a worker say the text into a file, store the file. */
import { BackendError, type Context, type Job, type Static } from "switchyard/sdk";
import { chooseVoice } from "./choose-voice.ts";
import { pitchOf, type Settings, type speechInput } from "./input.ts";
import { fileStream, withRecording } from "./recording.ts";
import { openSpeakers, type Speakers } from "./speakers.ts";
import { isBlank, markupOf } from "./text.ts";

type Input = Static<typeof speechInput>;

/** eSpeak NG's own default and limits. */
const WORDS_PER_MINUTE = { normal: 175, least: 80, most: 450 };

/** By the configuration object, of which each backend has one for its life. */
const speakersOfBackend = new WeakMap<Settings, Speakers>();

export function refusal(input: Input, config: Settings): string | undefined {
  if (isBlank(input.text)) return "text holds nothing to say";
  const choice = chooseVoice(input, config);
  return choice.kind === "refused" ? choice.reason : undefined;
}

export async function speak(job: Job<Input>, { config }: Context<Settings>): Promise<unknown> {
  const { input, signal } = job;
  const voice = chooseVoice(input, config);
  if (voice.kind === "refused") throw new BackendError("BACKEND_REJECTED", voice.reason);
  const wordsPerMinute = wordsPerMinuteOf(input.speed);

  return await withRecording(async (path) => {
    const { samples, sampleRateHz, peak } = await speakersOf(config).speak(
      {
        kind: "speak",
        markup: markupOf(input.text),
        voice: voice.identifier,
        wordsPerMinute,
        pitch: enginePitchOf(pitchOf(input.options)),
        path,
      },
      signal,
      (fraction) => job.progress(fraction),
    );
    if (peak === 0) {
      throw new BackendError("BACKEND_REJECTED", `${voice.name} has no sound for this text`);
    }
    const facts = {
      duration_seconds: Number((samples / sampleRateHz).toFixed(3)),
      sample_rate_hz: sampleRateHz,
      voice: voice.name,
      language: voice.language,
      words_per_minute: wordsPerMinute,
    };
    await job.artifact(fileStream(path), {
      name: "speech.wav",
      mediaType: "audio/wav",
      metadata: facts,
    });
    return facts;
  });
}

export async function endSpeakers(config: Settings): Promise<void> {
  await speakersOfBackend.get(config)?.close();
}

function speakersOf(config: Settings): Speakers {
  const known = speakersOfBackend.get(config);
  if (known !== undefined) return known;
  const speakers = openSpeakers(config.idle_timeout_ms);
  speakersOfBackend.set(config, speakers);
  return speakers;
}

function wordsPerMinuteOf(speed: number): number {
  const { normal, least, most } = WORDS_PER_MINUTE;
  return Math.min(most, Math.max(least, Math.round(normal * speed)));
}

/**
 * The engine's scale is logarithmic: 0 halves the base pitch, 50 leaves it, 100 doubles it. The
 * rise and fall around the base stay as they are in Hz, so what is heard changes a little less.
 */
function enginePitchOf(pitch: number): number {
  return Math.round(50 + 50 * Math.log2(pitch));
}
