/** The knobs that only AllTalk has, as far as the loaded engine has them. */
import { type Static, t } from "switchyard/sdk";
import type { Server } from "./server.ts";

const oneOf = (values: readonly string[], description: string, usual?: string) =>
  t.Optional(
    t.Union(
      values.map((value) => t.Literal(value)),
      { description, ...(usual === undefined ? {} : { default: usual }) },
    ),
  );
const between = (
  minimum: number,
  maximum: number,
  usual: number | undefined,
  description: string,
) =>
  t.Optional(
    t.Number({ minimum, maximum, description, ...(usual === undefined ? {} : { default: usual }) }),
  );

export function optionsOf({ version, voices = [], current }: Server) {
  const narrated = ["character", "narrator", ...(version === 2 ? ["silent"] : [])];
  const filters = ["none", "standard", "html"];
  const penalty = Number(current.repetitionpenalty_set);
  return {
    text_filtering: oneOf(filters, "What AllTalk removes from the text first.", "standard"),
    ...(voices.length > 0 && {
      narrator_voice: oneOf(voices, "Reads *text in asterisks*; the voice reads the rest."),
      text_not_inside: oneOf(narrated, "Who reads text outside of quotes and asterisks."),
    }),
    ...(current.temperature_capable && {
      temperature: between(0.1, 1, current.temperature_set, "How freely it speaks."),
    }),
    ...(current.repetitionpenalty_capable && {
      repetition_penalty: between(1, 20, penalty || undefined, "Against repeated sounds."),
    }),
    ...(current.pitch_capable && { pitch: between(-10, 10, current.pitch_set, "Of the voice.") }),
  };
}

/** The options of a request that was checked against the above. */
export const Options = t.Object({
  text_filtering: t.Optional(t.String()),
  narrator_voice: t.Optional(t.String()),
  text_not_inside: t.Optional(t.String()),
  temperature: t.Optional(t.Number()),
  repetition_penalty: t.Optional(t.Number()),
  pitch: t.Optional(t.Number()),
});
export type Options = Static<typeof Options>;
