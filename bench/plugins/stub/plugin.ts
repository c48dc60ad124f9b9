/** A backend that is asked synchronously: the route that is compared with a reverse proxy. */
import { definePlugin, t } from "switchyard/sdk";

const input = t.Object({
  model: t.String({ minLength: 1, maxLength: 256 }),
  messages: t.Array(t.Object({ role: t.String(), content: t.String() }), { minItems: 1 }),
});

export default definePlugin({
  apiVersion: 1,
  name: "stub",
  version: "1.0.0",
  title: "Stub",
  summary: "Passes a chat request on and answers with what comes back.",
  config: {},
  capabilities: {},
  routes: {
    chat: {
      route: "POST /bench/chat",
      input,
      scope: "llm",
      handle: (body, { http }, signal) => http.post("/chat", body, { signal }),
    },
  },
  health: async () => ({ status: "ready" }),
});
