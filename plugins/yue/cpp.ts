/** yue2.cpp: a REST server for YuE2. */
import { type Evidence, restJob, type Transport, t } from "switchyard/sdk";
import { genresOf } from "./lyrics.ts";
import { isNumber, isText, option, ownSeed, type Request, SCORE_OPTIONS } from "./request.ts";
import type { Settings } from "./settings.ts";

/** Sent as JSON values; its default of 360 s would be more than most want. */
export const cpp: Transport<Settings, Request> = {
  ...restJob<Settings, Request>({
    title: "yue2.cpp",
    values: ({ id, input }) => ({
      style: genresOf(input),
      lyrics: input.lyrics,
      duration: input.duration_seconds,
      seed: input.seed ?? ownSeed(input, id),
      steps: input.steps,
      cfg: input.cfg,
      cot: option(input, "cot", isText),
      abc: option(input, "abc", isText),
      bitrate: option(input, "mp3_bitrate", isNumber),
      // The gateway makes other formats, and from WAV better ones.
      file: (input.format ?? "mp3") === "mp3" ? "mp3" : "wav16",
    }),
    submit: {
      path: "/synth",
      body: {
        ...{ style: "{{style}}", lyrics: "{{lyrics}}", duration: "{{duration}}", abc: "{{abc}}" },
        ...{ lm_seed: "{{seed}}", seed: "{{seed}}", steps: "{{steps}}", cfg_scale: "{{cfg}}" },
        ...{ cot: "{{cot}}", output_format: "{{file}}", mp3_bitrate: "{{bitrate}}" },
      },
      id: "$.id",
    },
    status: {
      path: "/job?id={{id}}",
      field: "$.status",
      ...{ running: ["running"], done: ["done"], failed: ["failed"], cancelled: ["cancelled"] },
    },
    result: {
      path: "/job?id={{id}}&result=1",
      ...{ kind: "multipart", parts: "audio/", name: "song", meanings: { 404: "not-ready" } },
      facts: { seed: "$.seed", score: "$.abc" },
    },
    cancel: { method: "POST", path: "/job?id={{id}}&cancel=1" },
    // A failed job tells no reason.
    log: { path: "/logs" },
    health: { path: "/props", expect: { "$.frame_rate": [25] }, version: "$.version" },
  }),
  options: async () => ({
    ...SCORE_OPTIONS,
    mp3_bitrate: t.Optional(t.Integer({ minimum: 32, maximum: 320, description: "kbit/s." })),
  }),
};

export function lacksProps({ pages }: Evidence): string | undefined {
  const { frame_rate, defaults } = Object(pages["/props"]);
  return frame_rate === 25 && Object(defaults).cot !== undefined ? undefined : "its page /props";
}
