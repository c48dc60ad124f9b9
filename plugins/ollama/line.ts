/** A line of Ollama's streams: `/api/generate` fills response and thinking, `/api/chat` message. */
import { type Static, t } from "switchyard/sdk";

/** Only the last line has counts and durations; durations are in nanoseconds. */
export const Line = t.Object({
  error: t.Optional(t.Unknown()),
  response: t.Optional(t.String()),
  thinking: t.Optional(t.String()),
  message: t.Optional(
    t.Object({ content: t.Optional(t.String()), thinking: t.Optional(t.String()) }),
  ),
  done: t.Optional(t.Boolean()),
  done_reason: t.Optional(t.String()),
  prompt_eval_count: t.Optional(t.Number()),
  eval_count: t.Optional(t.Number()),
  load_duration: t.Optional(t.Number()),
  prompt_eval_duration: t.Optional(t.Number()),
  eval_duration: t.Optional(t.Number()),
  total_duration: t.Optional(t.Number()),
});
export type Line = Static<typeof Line>;
