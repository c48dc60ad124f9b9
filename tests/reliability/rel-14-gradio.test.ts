/** REL-14 for programs with a Gradio page: JSON, an event stream, and files. */
import { silence } from "../fakes/cli/stage.ts";
import type { FakeGradio } from "../fakes/gradio.ts";
import { startFakeStableAudio } from "../fakes/stable-audio.ts";
import { all, JSON_ANSWER, type Outcomes, SOUND, testMatrix } from "./rel-14-matrix.ts";

/** Whether it is the same program as before cannot be told: it is looked at anew, and works. */
const UNTOLD = all(
  ["redirect", "not-http", "gzip-bomb", "cut-json", "garbage-json", "html", "large-json"],
  "completed",
);
/** What does not begin as Gradio does is another program. */
const OTHER = all(
  ["gzip-bomb", "cut-json", "garbage-json", "html", "large-json", "wrong-type"],
  "BACKEND_MISMATCH",
);
/** Whoever loses the stream has lost the work. */
const LOST = all(
  [
    ...(["reset", "redirect", "not-http", "unauthorized", "busy", "server-error", "html"] as const),
    ...(["empty-stream", "cut-event", "cut-chunked", "cut-answer"] as const),
  ],
  "BACKEND_LOST",
);
const STREAM: Outcomes = {
  ...all(["hang-before-headers", "silent-stream", "drip"], "STALLED"),
  ...LOST,
  ...all(["garbage-event", "long-event", "gzip-bomb"], "BACKEND_BAD_OUTPUT"),
  ...all(["split-answer", "final-event-twice"], "completed"),
};

testMatrix("REL-14, Gradio", {
  gradio: {
    start: startFakeStableAudio,
    settings: "use: stable-audio, variant: stable-audio-tools",
    route: "/generate/audio",
    body: { prompt: "steps=2 naïve 🚂" },
    places: {
      app: {
        match: (path) => path === "/gradio_api/app_id",
        outcomes: { ...JSON_ANSWER, ...UNTOLD, "wrong-type": "completed" },
      },
      config: {
        match: (path) => path === "/config",
        before: (server: FakeGradio) => server.restart(),
        outcomes: { ...JSON_ANSWER, ...OTHER, "split-answer": "completed" },
      },
      info: {
        match: (path) => path === "/gradio_api/info",
        before: (server: FakeGradio) => server.restart(),
        outcomes: { ...JSON_ANSWER, "split-answer": "completed" },
      },
      upload: {
        match: (path) => path === "/gradio_api/upload",
        body: { init_audio: { base64: Buffer.from(silence()).toString("base64") } },
        keepsSlot: true,
        outcomes: JSON_ANSWER,
      },
      join: {
        match: (path) => path === "/gradio_api/queue/join",
        keepsSlot: true,
        outcomes: JSON_ANSWER,
      },
      stream: {
        match: (path) => path === "/gradio_api/queue/data",
        once: true,
        outcomes: STREAM,
      },
      download: {
        match: (path) => path.startsWith("/gradio_api/file="),
        outcomes: {
          ...SOUND,
          ...all(["half-answer", "drip-answer"], "STALLED"),
          "cut-answer": "BACKEND_BAD_OUTPUT",
          "split-answer": "completed",
          // That it gives out what it made is not for the request to see to.
          ...all(["redirect", "not-http", "unauthorized"], "BACKEND_BAD_OUTPUT"),
        },
      },
    },
  },
});
