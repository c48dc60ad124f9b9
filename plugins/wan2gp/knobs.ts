/**
 * WanGP's settings that a request may change through `options`. Left out is what names files,
 * addresses or other programs, what loads further models, and what the common fields say already.
 */
import { matches, t } from "switchyard/sdk";

const number = () => t.Optional(t.Number({ minimum: -10_000, maximum: 10_000 }));
const integer = () => t.Optional(t.Integer({ minimum: -10_000, maximum: 10_000 }));
/** A name of a method or a mode: never a path or an address. */
const word = () => t.Optional(t.String({ maxLength: 64, pattern: "^[A-Za-z0-9_+. -]*$" }));
const named = <Value>(names: readonly string[], value: () => Value): Record<string, Value> =>
  Object.fromEntries(names.map((name) => [name, value()]));

const KNOBS = {
  ...named(
    [
      ...["flow_shift", "guidance2_scale", "guidance3_scale", "embedded_guidance_scale"],
      ...["audio_guidance_scale", "alt_guidance_scale", "alt_scale", "audio_scale"],
      ...["denoising_strength", "input_video_strength", "temperature", "top_p", "pause_seconds"],
      ...["NAG_scale", "NAG_tau", "NAG_alpha", "skip_steps_multiplier", "motion_amplitude"],
      ...["film_grain_intensity", "film_grain_saturation"],
    ],
    number,
  ),
  ...named(
    [
      ...["guidance_phases", "model_switch_phase", "switch_threshold", "switch_threshold2"],
      ...["top_k", "skip_steps_start_step_perc", "apg_switch", "cfg_star_switch", "cfg_zero_step"],
      ...["perturbation_switch", "perturbation_start_perc", "perturbation_end_perc"],
      ...["sliding_window_size", "sliding_window_overlap", "RIFLEx_setting"],
    ],
    integer,
  ),
  ...named(["sample_solver", "model_mode", "skip_steps_cache_type", "temporal_upsampling"], word),
  alt_prompt: t.Optional(t.String({ maxLength: 20_000 })),
  // WanGP would take URLs and paths here, too.
  activated_loras: t.Optional(
    t.Array(t.String({ pattern: "^[^/\\\\:~]+$", maxLength: 200 }), { maxItems: 16 }),
  ),
  loras_multipliers: t.Optional(t.String({ maxLength: 500, pattern: "^[0-9.,;|\\s-]*$" })),
};

/** Of the above what the model's own settings have, with the values that they have there. */
export function declared(usual: Readonly<Record<string, unknown>>) {
  const known = Object.entries(KNOBS).filter(([name]) => name in usual);
  return Object.fromEntries(
    known.map(([name, schema]) => {
      const value: unknown = usual[name];
      return [name, matches(schema, value) ? { ...schema, default: value } : schema];
    }),
  );
}

/** All of them, where there is no server to ask. */
export const everyKnob = () => ({ ...KNOBS });

/** Nothing but these, whatever the request holds. */
export function knobsOf(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const schemas = new Map<string, (typeof KNOBS)[keyof typeof KNOBS]>(Object.entries(KNOBS));
  const fits = ([name, value]: [string, unknown]): boolean => {
    const schema = schemas.get(name);
    return schema !== undefined && matches(schema, value);
  };
  return Object.fromEntries(Object.entries(options).filter(fits));
}
