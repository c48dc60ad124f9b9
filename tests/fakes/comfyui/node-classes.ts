/**
 * The node classes that the fake knows: enough for the shipped workflows and for ugly test graphs.
 */

export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}
/** A workflow in API format, by node id. */
export type Graph = Readonly<Record<string, GraphNode>>;

export type InputRule =
  | { readonly kind: "link"; readonly type: string }
  | { readonly kind: "INT" | "FLOAT"; readonly min: number; readonly max: number }
  | { readonly kind: "STRING" | "BOOLEAN" }
  | { readonly kind: "choice"; readonly options: readonly string[] }
  /** A file of the folder `input`, by its name there. */
  | { readonly kind: "upload" };

export interface NodeClass {
  readonly inputs: Readonly<Record<string, InputRule>>;
  readonly returns: readonly string[];
  readonly isOutput?: true;
}

export type ModelFolders = Readonly<Record<string, readonly string[]>>;

/** What a user of the shipped workflows has on disk. */
export const MODELS: ModelFolders = {
  checkpoints: ["sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors"],
  diffusion_models: ["flux1-dev.safetensors", "z_image_turbo_bf16.safetensors"],
  text_encoders: ["clip_l.safetensors", "qwen_3_4b.safetensors", "t5xxl_fp16.safetensors"],
  vae: ["ae.safetensors"],
  loras: [],
};

const MAX_SEED = 2 ** 64;
const int = (min: number, max: number): InputRule => ({ kind: "INT", min, max });
const float = (min: number, max: number): InputRule => ({ kind: "FLOAT", min, max });
const link = (type: string): InputRule => ({ kind: "link", type });
const choice = (...options: string[]): InputRule => ({ kind: "choice", options });
const string: InputRule = { kind: "STRING" };

const size = { width: int(16, 16_384), height: int(16, 16_384), batch_size: int(1, 4_096) };

export function nodeClasses(models: ModelFolders): Readonly<Record<string, NodeClass>> {
  const file = (folder: string) => choice(...(models[folder] ?? []));
  const sampler = {
    seed: int(0, MAX_SEED),
    steps: int(1, 10_000),
    cfg: float(0, 100),
    sampler_name: choice("euler", "dpmpp_2m", "res_multistep"),
    scheduler: choice("normal", "karras", "simple"),
    denoise: float(0, 1),
  };
  return {
    CheckpointLoaderSimple: {
      inputs: { ckpt_name: file("checkpoints") },
      returns: ["MODEL", "CLIP", "VAE"],
    },
    UNETLoader: {
      inputs: {
        unet_name: file("diffusion_models"),
        weight_dtype: choice("default", "fp8_e4m3fn"),
      },
      returns: ["MODEL"],
    },
    CLIPLoader: {
      inputs: {
        clip_name: file("text_encoders"),
        type: choice("lumina2", "flux"),
        device: choice("default", "cpu"),
      },
      returns: ["CLIP"],
    },
    DualCLIPLoader: {
      inputs: {
        clip_name1: file("text_encoders"),
        clip_name2: file("text_encoders"),
        type: choice("sdxl", "flux"),
        device: choice("default", "cpu"),
      },
      returns: ["CLIP"],
    },
    VAELoader: { inputs: { vae_name: file("vae") }, returns: ["VAE"] },
    ModelSamplingAuraFlow: {
      inputs: { model: link("MODEL"), shift: float(0, 100) },
      returns: ["MODEL"],
    },
    CLIPTextEncode: { inputs: { text: string, clip: link("CLIP") }, returns: ["CONDITIONING"] },
    ConditioningZeroOut: {
      inputs: { conditioning: link("CONDITIONING") },
      returns: ["CONDITIONING"],
    },
    FluxGuidance: {
      inputs: { conditioning: link("CONDITIONING"), guidance: float(0, 100) },
      returns: ["CONDITIONING"],
    },
    EmptyLatentImage: { inputs: size, returns: ["LATENT"] },
    EmptySD3LatentImage: { inputs: size, returns: ["LATENT"] },
    KSampler: {
      inputs: {
        ...sampler,
        model: link("MODEL"),
        positive: link("CONDITIONING"),
        negative: link("CONDITIONING"),
        latent_image: link("LATENT"),
      },
      returns: ["LATENT"],
    },
    VAEDecode: { inputs: { samples: link("LATENT"), vae: link("VAE") }, returns: ["IMAGE"] },
    VAEEncode: { inputs: { pixels: link("IMAGE"), vae: link("VAE") }, returns: ["LATENT"] },
    RepeatLatentBatch: {
      inputs: { samples: link("LATENT"), amount: int(1, 64) },
      returns: ["LATENT"],
    },
    LoadImage: { inputs: { image: { kind: "upload" } }, returns: ["IMAGE", "MASK"] },
    ImageScaleToTotalPixels: {
      inputs: {
        image: link("IMAGE"),
        upscale_method: choice("nearest-exact", "bilinear", "area", "bicubic", "lanczos"),
        megapixels: float(0.01, 16),
        resolution_steps: int(1, 256),
      },
      returns: ["IMAGE"],
    },
    EmptyImage: { inputs: { ...size, color: int(0, 0xffffff) }, returns: ["IMAGE"] },
    SaveImage: {
      inputs: { images: link("IMAGE"), filename_prefix: string },
      returns: [],
      isOutput: true,
    },
    PreviewImage: { inputs: { images: link("IMAGE") }, returns: [], isOutput: true },
  };
}

/** `[node id, output index]`, as a link between nodes is written. */
export function linkOf(value: unknown): readonly [string, number] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [node, slot]: unknown[] = value;
  return typeof node === "string" && typeof slot === "number" ? [node, slot] : undefined;
}
