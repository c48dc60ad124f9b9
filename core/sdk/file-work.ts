/**
 * Work that makes files, of any kind: for plugins whose settings say which kind a backend does, so
 * that an operator can describe a server without code.
 */
import {
  type Static,
  type TObject,
  type TProperties,
  type TSchema,
  Type as t,
} from "@sinclair/typebox";
import * as inputs from "./inputs.ts";
import type { Capability, Route, VramCost } from "./plugin.ts";

interface Kind {
  readonly route: Route;
  readonly input: TObject;
  readonly example: Readonly<Record<string, unknown>>;
}

const prompt = "a steam engine leaves the station";

export const FILE_KINDS = {
  "image.generate": { route: "POST /generate/image", input: inputs.image, example: { prompt } },
  "video.generate": { route: "POST /generate/video", input: inputs.video, example: { prompt } },
  "audio.generate": { route: "POST /generate/audio", input: inputs.audio, example: { prompt } },
  "music.generate": {
    route: "POST /generate/music",
    input: inputs.music,
    example: { prompt: "a slow blues about a night train", lyrics: "[verse]\nLate train home" },
  },
  "speech.synthesize": {
    route: "POST /tts",
    input: inputs.speech,
    example: { text: "Mind the gap.", speed: 1 },
  },
} as const satisfies Record<string, Kind>;

export type FileKind = keyof typeof FILE_KINDS;

/** For the setting `capability`; `offers` then names it alone. */
export const fileKind = t.Union(
  Object.keys(FILE_KINDS).map((kind) => t.Literal(kind as FileKind)),
  { default: "audio.generate", description: "The one kind of work that it does." },
);

/** What all kinds share; the input of a request has the fields of its kind. */
export type FileWork<Config> = Omit<
  Capability<Config, TObject>,
  "route" | "input" | "example" | "formats" | "restricted"
>;

/** A capability for each kind, all of which are done in the same way. */
export function fileCapabilities<Config>(
  work: FileWork<Config>,
): Record<FileKind, Capability<Config, TObject>> {
  const entries = Object.entries(FILE_KINDS).map(([kind, own]) => [kind, { ...work, ...own }]);
  return Object.fromEntries(entries);
}

/** For the setting `cost`: GPU memory, as an operator writes it. */
export const declaredCost = t.Optional(
  t.Object(
    {
      model: t.String({
        default: "default",
        minLength: 1,
        description: "What shares the weights.",
      }),
      resident_mib: t.Integer({ minimum: 0, description: "MiB of the weights while they stay." }),
      working_mib: t.Integer({ default: 0, minimum: 0, description: "MiB on top of one request." }),
      size: t.Optional(
        t.String({
          minLength: 1,
          description: "The field that time and working memory grow with.",
        }),
      ),
    },
    { additionalProperties: false, description: "Without it the work needs no GPU." },
  ),
);

/** The same for `Capability.vram`. */
export function costOf(
  request: Readonly<Record<string, unknown>>,
  declared: Static<typeof declaredCost> | undefined,
): VramCost {
  const { model = "default", resident_mib = 0, working_mib = 0, size = "" } = declared ?? {};
  const value = request[size];
  return {
    model: typeof request.model === "string" ? request.model : model,
    residentMiB: resident_mib,
    workingMiB: working_mib,
    ...(typeof value === "number" && value > 0 ? { size: value } : {}),
  };
}

const MAX_TEXT = 20_000;

const option = t.Object(
  {
    type: t.Union(["integer", "number", "boolean", "string"].map((name) => t.Literal(name))),
    default: t.Optional(t.Union([t.Number(), t.Boolean(), t.String()])),
    minimum: t.Optional(t.Number()),
    maximum: t.Optional(t.Number()),
    enum: t.Optional(t.Array(t.Union([t.String(), t.Number()]), { minItems: 1 })),
    description: t.Optional(t.String()),
  },
  { additionalProperties: false },
);
type Option = Static<typeof option>;

/** For the setting `options`: what requests may send there, as an operator writes it. */
export const declaredOptions = t.Record(
  t.String({ pattern: "^[a-z][a-z0-9_]{0,63}$" }),
  option,
  // Other names are mistakes.
  {
    default: {},
    additionalProperties: false,
    description: "What a request may send in `options`.",
  },
);

/** The same for `Capability.options`. */
export function optionsOf(declared: Readonly<Record<string, Option>>): TProperties {
  const options = Object.entries(declared).map(([name, it]) => [name, t.Optional(schemaOf(it))]);
  return Object.fromEntries(options);
}

function schemaOf({ type, enum: words, ...rest }: Option): TSchema {
  if (words !== undefined) {
    return t.Union(
      words.map((word) => t.Literal(word)),
      rest,
    );
  }
  if (type === "integer") return t.Integer(rest);
  if (type === "number") return t.Number(rest);
  return type === "boolean" ? t.Boolean(rest) : t.String({ maxLength: MAX_TEXT, ...rest });
}
