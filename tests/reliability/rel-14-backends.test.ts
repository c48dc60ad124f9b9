/** REL-14 for ComfyUI and Ollama: HTTP with JSON, files, a WebSocket, and streams of NDJSON. */
import { expect } from "bun:test";
import { startFakeComfyUI } from "../fakes/comfyui.ts";
import { startFakeOllama } from "../fakes/ollama.ts";
import { ANSWER, all, JSON_ANSWER, testMatrix } from "./rel-14-matrix.ts";

/** Asking how far a job is may fail for a while; it is the silence that ends the attempt. */
const POLLED = ["hang-before-headers", "reset", "garbage-json", "html", "redirect", "gzip-bomb"];

const STREAM = { ...JSON_ANSWER };
delete STREAM["wrong-type"];

testMatrix("REL-14, ComfyUI and Ollama", {
  comfyui: {
    start: startFakeComfyUI,
    settings: "use: comfyui",
    route: "/generate/image",
    body: { prompt: "steps=2", width: 512, height: 512 },
    places: {
      submit: {
        match: (path, method) => path === "/prompt" && method === "POST",
        outcomes: JSON_ANSWER,
      },
      poll: {
        match: (path, method) => /^\/(api\/jobs|history|queue)/.test(path) && method === "GET",
        outcomes: all(POLLED as never, "STALLED"),
      },
      download: {
        match: (path) => path === "/view",
        outcomes: {
          ...ANSWER,
          "cut-chunked": "BACKEND_LOST",
          "short-png": "BACKEND_BAD_OUTPUT",
          html: "BACKEND_BAD_OUTPUT",
          "wrong-type": "BACKEND_BAD_OUTPUT",
        },
      },
      socket: {
        match: (path) => path === "/ws",
        // A socket that never says goodbye is waited for, for two seconds.
        settings: "stall_timeout_ms: 5000",
        outcomes: all(
          ["silent-socket", "cut-socket", "garbage-socket", "reset", "html"],
          "completed",
        ),
      },
    },
  },
  ollama: {
    start: startFakeOllama,
    settings: "use: ollama",
    route: "/llm/generate",
    body: { prompt: "steps=2" },
    places: {
      generate: {
        match: (path) => path === "/api/generate",
        outcomes: {
          ...STREAM,
          "cut-chunked": "BACKEND_LOST",
          "split-utf8": "completed",
          "duplicate-final": "completed",
        },
        output(fault, output) {
          if (fault === "split-utf8") expect(output.text).toBe("naïve 🚂");
          if (fault === "duplicate-final") expect(output.text).toBe("a");
        },
      },
    },
  },
  embed: {
    start: startFakeOllama,
    settings: "use: ollama",
    route: "/llm/embed",
    body: { texts: ["a"] },
    places: { embed: { match: (path) => path === "/api/embed", outcomes: JSON_ANSWER } },
  },
});
