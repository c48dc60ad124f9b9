/** Gradio programs as plugins/gradio/README.md describes them in settings. */

export const musicgen = {
  capability: "music.generate",
  program: "MusicGen",
  endpoint: "/predict_full",
  params: {
    prompt: { to: "text", required: true },
    model: { to: "model" },
    duration_seconds: { to: "duration", cast: "integer", required: true, default: 10 },
    cfg: { to: "cfg_coef" },
    init_audio: { to: "melody" },
  },
  fixed: { model_path: "" },
  outputs: [{ return: 1, name: "music" }],
  cancel: { mode: "interrupt", endpoint: "/interrupt" },
  cost: { model: "musicgen", resident_mib: 8_000, working_mib: 4_000, size: "duration_seconds" },
};

export const stable = {
  capability: "audio.generate",
  program: "Stable Audio",
  params: {
    prompt: { to: "prompt", required: true },
    negative_prompt: { to: "negative_prompt" },
    duration_seconds: { to: ["seconds_total", "duration"], cast: "integer", required: true },
    seed: { to: "seed", default: -1 },
    init_audio: { to: "init_audio" },
  },
  fixed: { file_naming: "output.wav", file_format: "wav" },
  outputs: [{ return: 0 }, { return: 1, role: "preview", required: false }],
  cost: { model: "stable-audio-open", resident_mib: 10_000, working_mib: 2_000 },
};

export const yuegp = {
  capability: "music.generate",
  program: "YuEGP",
  endpoint: "/generate_song",
  params: {
    style: { to: "genres_input", required: true, or: "prompt" },
    lyrics: { to: "lyrics_input" },
  },
  outputs: [{ return: 0, as: "text", name: "status" }],
  failed_when: "Aborted",
  cancel: { mode: "interrupt", endpoint: "/abort_generation" },
  collect: { endpoint: "/refresh_gallery", outputs: [{ return: 1, name: "song" }] },
};

export const NO_STOP = "nothing stops a plain function of Gradio: its end is awaited";
