/** Which audio formats an offer can end in: those that the server makes, and those made from them. */
import { AUDIO_FORMATS, type AudioFormat } from "../sdk/formats.ts";
import { OF_KIND } from "../sdk/inputs.ts";
import type { FieldError } from "../validation.ts";
import type { Offer } from "./services.ts";

/** What the gateway itself can make of a sound. */
export interface ConversionPort {
  /** What is missing for this format; undefined when it can be made. */
  missing(format: AudioFormat): string | undefined;
}

export interface FormatEntry {
  readonly format: AudioFormat;
  readonly made_by: "backend" | "conversion" | null;
  /** Why it is not there; null when it is. */
  readonly missing: string | null;
}

const OWN: readonly AudioFormat[] = ["wav"];

/** Undefined for work that makes no sound. */
export function ownFormats(offer: Offer, kind: string): readonly AudioFormat[] | undefined {
  const { formats } = offer.capability;
  if (formats) return formats;
  return OF_KIND[kind]?.properties.format && offer.takes.has("format") ? OWN : undefined;
}

export function formatsToWire(
  offer: Offer,
  kind: string,
  { missing }: ConversionPort,
): FormatEntry[] | null {
  const own = ownFormats(offer, kind);
  if (!own) return null;
  return AUDIO_FORMATS.map((format) => {
    if (own.includes(format)) return { format, made_by: "backend", missing: null };
    const why = missing(format);
    return { format, made_by: why === undefined ? "conversion" : null, missing: why ?? null };
  });
}

/** Why this offer cannot end in the format that was asked for. */
export function formatProblem(
  offer: Offer,
  kind: string,
  asked: unknown,
  { missing }: ConversionPort,
): FieldError | undefined {
  const own = ownFormats(offer, kind);
  const format = AUDIO_FORMATS.find((name) => name === asked);
  if (!own || !format || own.includes(format)) return undefined;
  const why = missing(format);
  if (why === undefined) return undefined;
  const rest = AUDIO_FORMATS.filter((name) => own.includes(name) || missing(name) === undefined);
  const { title } = offer.backend;
  const message = `${title} does not make ${format}, and ${why}; possible now: ${rest.join(", ")}`;
  return { field: "/format", message };
}
