/** Audio formats that a request may ask for. */

export const AUDIO_FORMATS = ["wav", "mp3", "flac", "opus", "ogg"] as const;

/** `opus` is Opus in an Ogg file, `ogg` is Vorbis in one. */
export type AudioFormat = (typeof AUDIO_FORMATS)[number];
