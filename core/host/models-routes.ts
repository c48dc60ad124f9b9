/**
 * GET /models: what every backend can do now, with the fields that it takes, their defaults and
 * limits, its own options, its models and its audio formats. A server that hangs costs one wait.
 */
import { type TObject, type TSchema, Type as t } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";
import { type Route, route } from "../http/route.ts";
import { nearest } from "../sdk/nearest.ts";
import type { ModelEntry } from "../sdk/plugin.ts";
import { type Answers, createAnswers } from "./answers.ts";
import type { Backend } from "./backend.ts";
import type { Catalogue } from "./catalogue.ts";
import { formatsToWire } from "./formats.ts";
import { isOffered, type Offer, type Service } from "./services.ts";

export interface ModelsOptions {
  readonly catalogue: Catalogue;
  readonly monotonicMs: () => number;
}

const nullable = <Schema extends TSchema>(schema: Schema) => t.Union([schema, t.Null()]);
const jsonSchema = t.Record(t.String(), t.Unknown());

export const modelsSchema = t.Object({
  items: t.Array(
    t.Object({
      backend: t.String(),
      plugin: t.String(),
      title: t.String(),
      capability: t.String(),
      route: t.String({ description: "Where such work is asked for." }),
      status: t.String({ description: "As in GET /backends." }),
      takes: t.Object(
        {
          type: t.Literal("object"),
          properties: jsonSchema,
          required: t.Array(t.String()),
        },
        { description: "A JSON Schema of the fields that it has a use for." },
      ),
      options: nullable(
        t.Record(t.String(), t.Unknown(), {
          description: "What `options` may hold, a JSON Schema each; null: none, or not known now.",
        }),
      ),
      formats: nullable(
        t.Array(
          t.Object({
            format: t.String(),
            made_by: nullable(t.Union([t.Literal("backend"), t.Literal("conversion")])),
            missing: nullable(t.String({ description: "Why it is not to be had." })),
          }),
          { description: "Values of the field `format`; null for work that makes no sound." },
        ),
      ),
      models: nullable(
        t.Array(t.Object({ name: t.String() }, { additionalProperties: true }), {
          description: "What `model` may name; null: any name, or not known now.",
        }),
      ),
      default_model: nullable(t.String({ description: "Without `model`; null when not known." })),
      notice: nullable(t.String({ description: "A licence or attribution to show." })),
    }),
  ),
});

type Item = (typeof modelsSchema)["static"]["items"][number];

const query = t.Object({
  capability: t.Optional(t.String({ description: "Only this kind of work: music.generate" })),
  backend: t.Optional(t.String({ description: "Only this backend." })),
});

const FRESH_MS = 10_000;
const PAUSE_MS = 10_000;

export function modelsRoutes({ catalogue, monotonicMs }: ModelsOptions): Route[] {
  const { services } = catalogue;
  const lists = createAnswers<Backend, readonly ModelEntry[] | undefined>({
    backendOf: (backend) => backend,
    ask: (backend) => backend.models(),
    freshMs: FRESH_MS,
    pauseMs: PAUSE_MS,
    monotonicMs,
  });
  const all = services.flatMap((service) => service.offers.map((offer) => ({ service, offer })));
  const names = [...new Set(all.map(({ offer }) => offer.backend.name))];

  return [
    route({
      method: "GET",
      path: "/models",
      policy: { access: "any" },
      query,
      docs: {
        tag: "backends",
        summary: "List what each backend can do now",
        description:
          "One entry for each backend and kind of work. Servers are asked at once and for at most " +
          "`health.timeout_ms`; options are remembered for a minute, models for ten seconds.",
        data: modelsSchema,
        exampleData: { items: [exampleItem] },
      },
      async handle({ query: { capability, backend } }) {
        if (backend !== undefined && !names.includes(backend)) {
          const shown = backend.slice(0, 64);
          const guess = nearest(shown, names);
          const hint = guess ? `did you mean "${guess}"?` : `there is ${names.join(", ")}`;
          throw new GatewayError("NOT_FOUND", `No backend is called "${shown}"; ${hint}`);
        }
        const wanted = all.filter(
          ({ service, offer }) =>
            isOffered(offer, service.kind) &&
            (capability === undefined || service.kind === capability) &&
            (backend === undefined || offer.backend.name === backend),
        );
        const items = wanted.map(({ service, offer }) => itemOf(catalogue, lists, service, offer));
        return { items: await Promise.all(items) };
      },
    }),
  ];
}

async function itemOf(
  catalogue: Catalogue,
  lists: Answers<Backend, readonly ModelEntry[] | undefined>,
  service: Service,
  offer: Offer,
): Promise<Item> {
  const { backend, capability, takes } = offer;
  const { plugin, title, name } = backend;
  const [declared, models] = await Promise.all([
    takes.has("options") ? catalogue.options(offer) : undefined,
    takes.has("model") && plugin?.models ? lists.get(backend) : undefined,
  ]);
  return {
    backend: name,
    plugin: backend.use,
    title,
    capability: service.kind,
    route: capability.route,
    status: backend.state.status,
    takes: schemaOf(capability.input, takes),
    options: declared ? plain(declared) : null,
    formats: formatsToWire(offer, service.kind, catalogue.conversion),
    models: models ? models.map((entry) => ({ ...entry })) : null,
    default_model: defaultModel(offer, service.kind, models),
    notice: plugin?.notice ?? null,
  };
}

/** The part of the input that is taken, as JSON Schema. */
function schemaOf(input: TObject, takes: ReadonlySet<string>): Item["takes"] {
  const isTaken = (name: string) => takes.has(name);
  const properties = Object.entries(input.properties).filter(([name]) => isTaken(name));
  return {
    type: "object",
    properties: plain(Object.fromEntries(properties)),
    required: (input.required ?? []).filter(isTaken),
  };
}

/** JSON of a schema: without the symbols that are TypeBox's own. */
function plain(schemas: object): Record<string, unknown> {
  const copy: Record<string, unknown> = JSON.parse(JSON.stringify(schemas));
  return copy;
}

/** The model whose cost an ordinary request has, where that is a name which a request may write. */
function defaultModel(
  { backend, capability, takes }: Offer,
  kind: string,
  models: readonly ModelEntry[] | undefined,
): string | null {
  if (!takes.has("model")) return null;
  const { model: _, ...ordinary } = capability.example as Record<string, unknown>;
  try {
    const model = backend.run(() => backend.demand(kind, ordinary))?.model;
    return model !== undefined && models?.some((entry) => entry.name === model) ? model : null;
  } catch {
    return null;
  }
}

const exampleItem: Item = {
  backend: "espeak",
  plugin: "espeak",
  title: "eSpeak NG",
  capability: "speech.synthesize",
  route: "POST /tts",
  status: "ready",
  takes: {
    type: "object",
    properties: { text: { type: "string", minLength: 1, maxLength: 20_000 } },
    required: ["text"],
  },
  options: { pitch: { type: "number", minimum: 0.5, maximum: 2, default: 1 } },
  formats: [
    { format: "wav", made_by: "backend", missing: null },
    { format: "mp3", made_by: "conversion", missing: null },
  ],
  models: null,
  default_model: null,
  notice: null,
};
