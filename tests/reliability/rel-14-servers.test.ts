/** REL-14 for AllTalk (forms and files), WanGP (JSON-RPC) and MusicGPT (a WebSocket and files). */
import { startFakeAllTalk } from "../fakes/alltalk.ts";
import { pngOf } from "../fakes/comfyui/pictures.ts";
import type { Fault } from "../fakes/faulty-server.ts";
import { startFakeMusicGPT } from "../fakes/musicgpt.ts";
import { startFakeWan2gp } from "../fakes/wan2gp.ts";
import { all, JSON_ANSWER, type Outcomes, type Place, SOUND, testMatrix } from "./rel-14-matrix.ts";

/** A plain word is asked for, and anything else is none of it. */
const WORD: Outcomes = {
  ...JSON_ANSWER,
  ...all(["hang-mid-body", "drip", "error-in-200"], "BACKEND_BAD_OUTPUT"),
};
/** What the server does not tell of itself keeps nobody from being served. */
const UNTOLD: Outcomes = { ...JSON_ANSWER, "error-in-200": "completed" };
const FILE: Outcomes = {
  ...SOUND,
  "cut-answer": "BACKEND_BAD_OUTPUT",
  // What does not begin as a file is refused unread.
  ...all(["hang-mid-body", "drip"], "BACKEND_BAD_OUTPUT"),
  ...all(["half-answer", "drip-answer"], "STALLED"),
  "split-answer": "completed",
};
/** Asking how a job is may fail for 20 s. */
const POLLED: Outcomes = all(Object.keys(JSON_ANSWER) as Fault[], "STALLED");

function picture(): string {
  return Buffer.from(pngOf(8, 8, 0x336699)).toString("base64");
}

const tool = (name: string, more: Partial<Place> = {}): Place => ({
  match: (path, _method, body) => path.startsWith("/mcp") && body.includes(`"${name}"`),
  outcomes: JSON_ANSWER,
  ...more,
});

testMatrix("REL-14, AllTalk, WanGP and MusicGPT", {
  alltalk: {
    start: startFakeAllTalk,
    settings: "use: alltalk",
    route: "/tts",
    body: { text: "naïve steps=2" },
    places: {
      ready: { match: (path) => path === "/api/ready", outcomes: WORD },
      settings: { match: (path) => path === "/api/currentsettings", outcomes: UNTOLD },
      voices: { match: (path) => path === "/api/voices", outcomes: UNTOLD },
      generate: {
        match: (path) => path === "/api/tts-generate",
        keepsSlot: true,
        outcomes: { ...JSON_ANSWER, "half-answer": "STALLED", "split-answer": "completed" },
      },
      download: {
        match: (path) => path.startsWith("/audio/"),
        outcomes: FILE,
      },
    },
  },
  wan2gp: {
    start: startFakeWan2gp,
    settings: "use: wan2gp, poll_interval_ms: 50",
    route: "/generate/video",
    body: { prompt: "steps=2 naïve" },
    places: {
      upload: {
        match: (path) => path.startsWith("/wangp_api/gallery/upload/"),
        body: { model: "i2v_2_2", init_image: { base64: picture() } },
        keepsSlot: true,
        outcomes: JSON_ANSWER,
      },
      generate: tool("wangp_generate", { keepsSlot: true }),
      job: tool("wangp_get_job", { keepsSlot: true, outcomes: POLLED }),
      address: tool("wangp_create_gallery_download"),
      download: {
        match: (path) => path.startsWith("/wangp_api/gallery/download/"),
        outcomes: { ...FILE, "cut-mp4": "BACKEND_BAD_OUTPUT" },
      },
    },
  },
  musicgpt: {
    start: startFakeMusicGPT,
    settings: "use: musicgpt, silence_timeout_ms: 400",
    route: "/generate/music",
    body: { prompt: "steps=2", duration_seconds: 2 },
    places: {
      socket: {
        match: (path) => path === "/ws",
        keepsSlot: true,
        outcomes: {
          ...all(["hang-before-headers", "silent-socket"], "STALLED"),
          ...all(["cut-socket", "reset", "not-http"], "BACKEND_UNREACHABLE"),
          ...all(["html", "redirect", "server-error"], "BACKEND_MISMATCH"),
          unauthorized: "BACKEND_UNAUTHORIZED",
        },
      },
      words: {
        match: (path) => path === "/ws",
        // Two sockets that never say goodbye are waited for, for two seconds each.
        settings: "stall_timeout_ms: 5500",
        limitMs: 4_500,
        outcomes: { "garbage-socket": "BACKEND_MISMATCH" },
      },
      download: {
        match: (path) => path.startsWith("/files/"),
        outcomes: FILE,
      },
    },
  },
});
