/** WanGP's server as a whole: whether it is the right one, and which models it has. */
import { BackendError, type Context, type Health, type ModelEntry, t } from "switchyard/sdk";
import { type Kind, modelOf } from "./input.ts";
import { declared } from "./knobs.ts";
import { callTool, toolNames } from "./mcp.ts";
import { Metadata } from "./model.ts";
import type { Settings } from "./settings.ts";

const NEEDS = [
  "wangp_generate",
  "wangp_get_job",
  "wangp_cancel_job",
  "wangp_create_gallery_download",
];
/** WanGP gives at most so many at once. */
const PAGE = 10;
const MAX_MODELS = 1_000;
const KEPT_MS = 10 * 60_000;

const Page = t.Array(
  t.Composite([
    Metadata,
    t.Object({ availability: t.Optional(t.Object({ status: t.Optional(t.String()) })) }),
  ]),
);

interface Kept {
  readonly untilMs: number;
  readonly models: readonly ModelEntry[];
}
const keptOf = new WeakMap<Settings, Kept>();

export async function healthOf({ http }: Context<Settings>, signal: AbortSignal): Promise<Health> {
  const names = await toolNames(http, signal);
  const missing = NEEDS.filter((name) => !names.includes(name));
  if (missing.length === 0) return { status: "ready" };
  const next =
    "WanGP 12 of 2026-08 or newer has them, started with --mcp-transport streamable-http";
  const message = `the MCP server at ${http.baseUrl} has no tools ${missing.join(", ")}; ${next}`;
  throw new BackendError("BACKEND_MISMATCH", message);
}

/** More than 200 in pages of ten, so they are kept for a while. */
export async function modelsOf(
  { http, config }: Context<Settings>,
  signal: AbortSignal,
): Promise<readonly ModelEntry[]> {
  const kept = keptOf.get(config);
  if (kept !== undefined && kept.untilMs > performance.now()) return kept.models;
  const models: ModelEntry[] = [];
  for (let offset = 0; offset < MAX_MODELS; offset += PAGE) {
    const args = { limit: PAGE, offset, include_availability: true };
    const page = await callTool(http, "wangp_list_models", args, { as: Page, signal });
    models.push(...page.map(entryOf));
    if (page.length < PAGE) break;
  }
  keptOf.set(config, { untilMs: performance.now() + KEPT_MS, models });
  return models;
}

/** What the model's own settings have of the knobs that a request may turn. */
export async function optionsOf(
  kind: Kind,
  { http, config }: Context<Settings>,
  signal: AbortSignal,
) {
  const args = { model_type: modelOf(kind, {}, config) };
  const as = t.Record(t.String(), t.Unknown());
  return declared(await callTool(http, "wangp_get_default_settings", args, { as, signal }));
}

function entryOf({ model_type, name, availability, ...rest }: (typeof Page)["static"][number]) {
  const { main_output = [], family_label } = rest;
  return {
    name: model_type,
    title: name ?? model_type,
    ...(family_label !== undefined && { family: family_label }),
    makes: main_output,
    weights: availability?.status ?? "unknown",
  };
}
