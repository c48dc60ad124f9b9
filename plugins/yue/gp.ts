/** The page of YuEGP: one call sings, a second one of the same session gives the song. */
import { type Evidence, gradioApp } from "switchyard/sdk";
import { genresOf, lyricsFrom, needed } from "./lyrics.ts";
import { isText, ownSeed, type Request, tokensFor } from "./request.ts";
import { maxSections, type Settings } from "./settings.ts";

export const gp = gradioApp<Settings, Request>({
  title: "YuEGP",
  endpoint: "/generate_song",
  needs: ["genres_input", "lyrics_input", "run_n_segments"],
  takes: ["seed", "max_new_tokens", "vocal_track_prompt", "instrumental_track_prompt"],
  arguments(input, { config, jobId }) {
    const sections = needed(input.lyrics, maxSections(config));
    return {
      genres_input: genresOf(input),
      lyrics_input: lyricsFrom(sections),
      run_n_segments: sections.length,
      seed: ownSeed(input, jobId),
      max_new_tokens: tokensFor(input, sections.length),
      vocal_track_prompt: input.init_audio,
    };
  },
  // More would be several songs for one request.
  pinned: { repeat_generation: 1 },
  outputs: [],
  // Newest first, and of this session alone: an empty list is a song that failed.
  collect: { endpoint: "/refresh_gallery", outputs: [{ at: 0, name: "song" }] },
  failure: ([said]) => (isText(said) && /abort/i.test(said) ? said : undefined),
  facts: (_input, { seed }) => ({ seed: Number(seed) }),
  cancel: { kind: "interrupt", endpoint: "/abort_generation" },
  stages: [
    { match: "Stage 1", weight: 0.7 },
    { match: "Stage 2", weight: 0.3 },
  ],
});

export function lacksSong({ gradio }: Evidence): string | undefined {
  const there = gradio?.endpoints["/generate_song"] ?? [];
  return there.includes("genres_input") && there.includes("lyrics_input")
    ? undefined
    : "a Gradio endpoint /generate_song with genres_input and lyrics_input";
}
