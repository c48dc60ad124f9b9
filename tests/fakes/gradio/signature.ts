/** Captured signatures of real programs, as each version of Gradio shows them. */
import { readFileSync } from "node:fs";

export interface Parameter {
  readonly label: string;
  readonly parameter_name: string;
  readonly parameter_has_default: boolean;
  readonly parameter_default: unknown;
  readonly component: string;
  readonly type: unknown;
}

interface Endpoint {
  readonly parameters: readonly Parameter[];
  readonly returns: readonly { readonly label: string; readonly component: string }[];
}

export interface Dependency {
  readonly id: number | null;
  readonly api_name: string;
  /** Kinds of components: "textbox", "state". */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly generator: boolean;
  readonly queue: boolean;
}

export interface Signature {
  readonly info: { readonly named_endpoints: Readonly<Record<string, Endpoint>> };
  readonly dependencies: readonly Dependency[];
}

export const SIGNATURES = [
  "audiocraft-magnet",
  "audiocraft-musicgen",
  "diffrhythm-space",
  "diffrhythm-web",
  "stable-audio-3",
  "stable-audio-tools-0.0.19",
  "yuegp-v3",
] as const;
export type SignatureName = (typeof SIGNATURES)[number];

/** In no API: `/info` leaves them out, and a call has to fill them in all the same. */
const HIDDEN = new Set(["state", "button", "row", "column", "dataset"]);

export function readSignature(name: SignatureName): Signature {
  const place = new URL(`../../fixtures/gradio/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(place, "utf8")) as Signature;
}

export interface Shown {
  readonly config: Record<string, unknown>;
  readonly listing: unknown;
}

/** `/config` and `/info` of a server of this version. */
export function show(
  signature: Signature,
  { version, title, appId }: { version: string; title: string; appId: string },
): Shown {
  const major = Number.parseInt(version, 10);
  const components: unknown[] = [];
  const place = (type: string): number => {
    const skip_api = HIDDEN.has(type);
    return components.push({ id: components.length + 1, type, props: { name: type }, skip_api });
  };
  const visible = major >= 6 ? { api_visibility: "public" } : { show_api: true };
  const dependencies = signature.dependencies.map((dependency, index) => ({
    ...(dependency.id === null && major < 5 ? {} : { id: index }),
    api_name: dependency.api_name,
    inputs: dependency.inputs.map(place),
    outputs: dependency.outputs.map(place),
    queue: dependency.queue,
    types: { generator: dependency.generator, cancel: false },
    batch: false,
    ...visible,
  }));
  const listed = Object.entries(signature.info.named_endpoints).map(([name, endpoint]) => {
    const { parameters, returns } = endpoint;
    return [name, { parameters, returns, ...visible }] as const;
  });
  return {
    config: {
      version,
      ...(major >= 5 ? { api_prefix: "/gradio_api" } : {}),
      protocol: major >= 4 ? "sse_v3" : "ws",
      app_id: Number(appId),
      title,
      // As a server behind a proxy sees itself: not what anybody can reach.
      root: "http://inside.invalid:7860",
      enable_queue: true,
      components,
      dependencies,
    },
    listing: { named_endpoints: Object.fromEntries(listed), unnamed_endpoints: {} },
  };
}
