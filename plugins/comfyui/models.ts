/** The model files that ComfyUI has, and which workflows can use them. */
import { BackendError, type HttpClient, type ModelEntry, matches, t } from "switchyard/sdk";
import { type LibrarySettings, libraryOf } from "./library.ts";
import { mainModel } from "./request.ts";

/** Folder of the files, and the node and input that list the same on servers without `/models`. */
const KINDS = [
  { folder: "checkpoints", node: "CheckpointLoaderSimple", input: "ckpt_name" },
  { folder: "diffusion_models", node: "UNETLoader", input: "unet_name" },
] as const;
type Kind = (typeof KINDS)[number];

const Names = t.Array(t.String());
/** Older servers list the choices themselves, newer ones under an option of the input. */
const Listed = t.Array(t.Unknown(), { minItems: 1 });
const Options = t.Object({ options: Names });
const NodeInfo = t.Record(
  t.String(),
  t.Object({ input: t.Object({ required: t.Record(t.String(), t.Unknown()) }) }),
);

export async function modelsOf(
  http: HttpClient,
  settings: LibrarySettings,
  signal: AbortSignal,
): Promise<readonly ModelEntry[]> {
  const lists = await Promise.all(KINDS.map((kind) => filesOf(http, kind, signal)));
  return KINDS.flatMap(({ folder }, index) => {
    const workflows = [...libraryOf(settings).workflows.values()]
      .filter((it) => it.params.model && it.requires?.[folder]?.includes(mainModel(it) ?? ""))
      .map(({ name }) => name);
    return (lists[index] ?? []).map((name) => ({ name, kind: folder, workflows }));
  });
}

async function filesOf(
  http: HttpClient,
  kind: Kind,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return await http.get(`/models/${kind.folder}`, { as: Names, signal });
  } catch (error) {
    if (!BackendError.is(error) || error.code === "BACKEND_UNREACHABLE") throw error;
  }
  const answer = await http.get(`/object_info/${kind.node}`, { as: NodeInfo, signal });
  const listed: unknown = answer[kind.node]?.input.required[kind.input];
  if (!matches(Listed, listed)) return [];
  const [first, second] = listed;
  if (matches(Names, first)) return first;
  return matches(Options, second) ? second.options : [];
}
