/** REL-14 for servers of the REST adapter: ids, a status that is asked for, results of all kinds. */
import { startFakeDiffRhythm } from "../fakes/diffrhythm.ts";
import { startFakeSound } from "../fakes/rest-job.ts";
import { startFakeYue } from "../fakes/yue.ts";
import { all, JSON_ANSWER, type Place, SOUND, some, testMatrix } from "./rel-14-matrix.ts";

/** Asking how the work is may fail for a while; it is the silence that ends the attempt. */
const STATUS = {
  ...JSON_ANSWER,
  ...all(
    [
      ...(["reset", "busy", "server-error", "gzip-bomb", "cut-json", "garbage-json"] as const),
      ...(["html", "large-json", "error-in-200", "wrong-type"] as const),
    ],
    "STALLED",
  ),
};

/** What the adapter makes of all others is shown with yue2.cpp. */
const FEW = ["hang-before-headers", "reset", "redirect", "cut-json", "error-in-200"] as const;

const submission = (path: string, outcomes = some(JSON_ANSWER, FEW)): Place => ({
  match: (asked) => asked === path,
  keepsSlot: true,
  outcomes,
});

testMatrix("REL-14, REST jobs", {
  yue: {
    start: startFakeYue,
    settings: "use: yue, variant: yue2.cpp",
    route: "/generate/music",
    body: { prompt: "steps=2", lyrics: "[verse]\nnaïve 🚂 words to sing" },
    places: {
      submit: submission("/synth", JSON_ANSWER),
      status: {
        match: (path, method, _, query) =>
          path === "/job" && method === "GET" && !query.includes("result"),
        keepsSlot: true,
        outcomes: { ...STATUS, "split-answer": "completed" },
      },
      result: {
        match: (path, _method, _body, query) => path === "/job" && query.includes("result"),
        keepsSlot: true,
        outcomes: {
          ...SOUND,
          // The parts are behind a head that must say so.
          ...all(["hang-mid-body", "drip", "cut-answer"], "BACKEND_BAD_OUTPUT"),
          "half-answer": "STALLED",
          "split-answer": "completed",
        },
      },
    },
  },
  api: {
    start: startFakeDiffRhythm,
    settings: "use: diffrhythm, variant: api",
    route: "/generate/music",
    body: { prompt: "steps=2", lyrics: "naïve words" },
    places: {
      submit: submission("/api/generate"),
      status: {
        match: (path) => path.startsWith("/api/status/"),
        keepsSlot: true,
        outcomes: some(STATUS, FEW),
      },
      download: { match: (path) => path.startsWith("/api/download/"), outcomes: SOUND },
    },
  },
  webapi: {
    start: () => startFakeDiffRhythm({ kind: "webapi" }),
    settings: "use: diffrhythm, variant: webapi",
    route: "/generate/music",
    body: { prompt: "steps=2", lyrics: "naïve words" },
    places: {
      submit: submission("/generate"),
      status: {
        match: (path) => path === "/status",
        keepsSlot: true,
        outcomes: some(STATUS, FEW),
      },
      download: { match: (path) => path.startsWith("/output/"), outcomes: SOUND },
    },
  },
  sound: {
    start: startFakeSound,
    settings:
      "use: rest-job, capability: audio.generate, result: { kind: bytes }, " +
      "health: { path: /health }, submit: { path: /v1/audio/generate, " +
      'body: { input: "{{prompt}}" }, stops_on_close: true }',
    route: "/generate/audio",
    body: { prompt: "steps=2" },
    places: {
      generate: { match: (path) => path === "/v1/audio/generate", outcomes: SOUND },
    },
  },
});
