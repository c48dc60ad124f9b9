/** What WanGP says of a model, and which requests it cannot serve with it. */
import { BackendError, type HttpClient, type Static, t } from "switchyard/sdk";
import { type Kind, modelOf, outputOf, type Request } from "./input.ts";
import { callTool, toolSaid } from "./mcp.ts";
import type { Settings } from "./settings.ts";

export const Metadata = t.Object({
  model_type: t.String(),
  name: t.Optional(t.String()),
  family_label: t.Optional(t.String()),
  main_output: t.Optional(t.Array(t.String())),
  outputs: t.Optional(t.Array(t.String())),
  media_inputs: t.Optional(
    t.Object({
      image: t.Optional(t.Object({ start: t.Boolean(), end: t.Boolean() })),
      audio: t.Optional(t.Object({ prompt: t.Boolean() })),
    }),
  ),
});
export type Metadata = Static<typeof Metadata>;

const Schema = t.Union([t.Object({ metadata: Metadata }), t.Null()]);
const Availability = t.Object({ status: t.String() });

/** True when weights will have to be downloaded first. Throws BACKEND_REJECTED. */
export async function checkModel(
  kind: Kind,
  request: Request,
  { http, config }: { readonly http: HttpClient; readonly config: Settings },
  signal: AbortSignal,
): Promise<boolean> {
  const model = modelOf(kind, request, config);
  const args = { model_type: model };
  const schema = await callTool(http, "wangp_get_model_schema", args, { as: Schema, signal });
  if (schema === null) throw refused(`model: WanGP has no model "${model}"`);
  const problem = unfit(kind, request, schema.metadata);
  if (problem !== undefined) throw refused(problem);
  const { status } = await callTool(http, "wangp_get_model_availability", args, {
    as: Availability,
    signal,
  }).catch((error: unknown) => {
    // A thing to know, no more: servers that cannot tell work all the same.
    if (toolSaid(error) !== undefined) return { status: "unknown" };
    throw error;
  });
  const isMissing = status === "missing" || status === "partial";
  if (!isMissing || config.allow_downloads) return isMissing;
  throw refused(`model: the weights of "${model}" are not on WanGP's disk; download them there`);
}

function unfit(kind: Kind, request: Request, metadata: Metadata): string | undefined {
  const { model_type, outputs = [], main_output = outputs, media_inputs = {} } = metadata;
  const wanted = outputOf(kind);
  if (main_output.length > 0 && !main_output.includes(wanted)) {
    return `model: ${model_type} makes ${main_output.join(" and ")}, no ${wanted}`;
  }
  const { image, audio } = media_inputs;
  // WanGP itself drops a file that the model has no use for, and says nothing.
  if (request.init_image && image?.start === false) {
    return `init_image: ${model_type} cannot start from a picture; choose another model`;
  }
  if (request.end_image && image?.end === false) {
    return `end_image: ${model_type} cannot end with a picture; choose another model`;
  }
  if (request.voice_sample && audio?.prompt === false) {
    return `voice_sample: ${model_type} takes no recording of a voice`;
  }
  return undefined;
}

const refused = (message: string): BackendError => new BackendError("BACKEND_REJECTED", message);
