/** The two REST servers, as data. Neither stops what it works on, and one of them tells no errors. */
import { type Job, type RestJob, restJob, type Transport, type Values } from "switchyard/sdk";
import { toLrc } from "./lrc.ts";
import { type Input, recording, secondsOf, styleOf } from "./request.ts";
import type { Settings } from "./settings.ts";

async function values({ input, file }: Job<Input>, config: Settings): Promise<Values> {
  const seconds = secondsOf(input, config);
  const { init_audio } = input;
  const recorded = init_audio === undefined ? undefined : await recording(await file(init_audio));
  return { lrc: toLrc(input.lyrics, seconds), style: styleOf(input), seconds, recorded };
}

/** Never one piece, which needs twice the memory; of several songs it would give a random one. */
const fixed = { chunked: true, batch_infer_num: 1 } as const;
const style = { ref_audio: "{{recorded}}", ref_prompt: "{{style}}" } as const;
const result = { name: "song", mediaType: "audio/wav" } as const;

/** ruess/DiffRhythm-with-API. */
const withApi: RestJob<Settings, Input> = {
  title: "DiffRhythm with API",
  values,
  submit: {
    path: "/api/generate",
    multipart: {
      lyrics: { file: "{{lrc}}", name: "lyrics.lrc" },
      ...style,
      audio_length: "{{seconds}}",
      ...fixed,
    },
    id: "$.task_id",
  },
  status: {
    path: "/api/status/{{id}}",
    field: "$.status",
    // It reads a file that it rewrites in place: read in the middle it is empty, "unknown".
    running: ["created", "queued", "processing", "unknown"],
    done: ["completed"],
    failed: ["failed"],
    progress: { field: "$.progress" },
    error: "$.error",
  },
  result: {
    kind: "bytes",
    path: "/api/download/{{id}}",
    meanings: { 400: "not-ready", 404: "failed" },
    ...result,
  },
  // DELETE /api/tasks/{id} stops nothing, so it is no cancel; and after the work a gateway that died
  // before it noted the end must find the song again. The server removes it after a day.
  health: { path: "/api/health", expect: { "$.status": ["healthy"] }, version: "$.version" },
};

/** mgraffam/DiffRhythm-webapi. The field `output_dir` is a path on the server: it is never sent. */
const webapi: RestJob<Settings, Input> = {
  title: "DiffRhythm web API",
  values,
  submit: {
    path: "/generate",
    multipart: { lrc: "{{lrc}}", ...style, audio_length: "{{seconds}}", ...fixed },
    id: "$.job_id",
  },
  // It knows the current work alone, and a half-written file can be fetched: ask here first.
  status: {
    path: "/status",
    field: "$.status",
    running: ["processing"],
    done: ["idle"],
    owner: "$.job_id",
  },
  // Idle without the file is all that a failure shows.
  result: {
    kind: "json-url",
    of: "submit",
    field: "$.url",
    meanings: { 404: "failed" },
    ...result,
  },
  health: {
    path: "/status",
    expect: { "$.status": ["idle", "processing"] },
    busy: { field: "$.status", words: ["processing"] },
  },
};

export const api: Transport<Settings, Input> = restJob(withApi);
export const jobs: Transport<Settings, Input> = restJob(webapi);
