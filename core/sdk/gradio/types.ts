/**
 * What a plugin says about a Gradio program, so that `gradioApp` can drive it. Programs change the
 * order of their inputs from release to release, so everything here goes by parameter name, as the
 * server's own `/info` spells it. Inputs of the kind State are filled in by the adapter.
 */
import type { TSchema } from "@sinclair/typebox";
import type { FileReference, InputFile } from "../job.ts";

/**
 * What a parameter is given: JSON; or a file, by its reference as it stands in the job's input (or
 * from `job.file`), which is uploaded. Undefined leaves the program's own default.
 */
export type GradioValue = unknown | FileReference | InputFile;
export type GradioArguments = Readonly<Record<string, GradioValue>>;

export interface GradioApp<Config, Input> {
  /** The program's name as people write it, for messages: "MusicGen". */
  readonly title: string;
  /** Endpoint names, "/predict_full"; the first one that the server has with all of `needs`. */
  readonly endpoint: string | readonly string[];
  /** Parameters that the endpoint must have; they tell programs with equal endpoints apart. */
  readonly needs?: readonly string[];
  /** Parameters that `arguments` fills in beside `needs`, where this release has them. */
  readonly takes?: readonly string[];
  /** Other names, or labels, that a parameter has in other releases: `{ seed: ["param_7"] }`. */
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  /** What the page's title must contain; any title will do unless said. */
  readonly pageTitle?: string;
  /** Why this installation cannot be used, for example its Gradio version; it is `degraded` then. */
  refuse?(app: GradioServer): string | undefined;

  /**
   * By parameter name. A value for a parameter that this release does not have is refused, so ask
   * `app.has` where that may be. Called once per attempt.
   */
  arguments(input: Input, call: GradioCall<Config>): GradioArguments;
  /** Values that no request can change, for example because another one would be dangerous. */
  readonly pinned?: Readonly<Record<string, unknown>>;

  /**
   * Parameters that requests may set in `options`. Unless said all that are left but texts, which a
   * program may take for a path or a model to load.
   */
  readonly options?: readonly string[];

  /** Which of the returned values are stored. */
  readonly outputs: readonly GradioOutput[];
  /** A further call in the same session once the work is done, with outputs of its own. */
  readonly collect?: { readonly endpoint: string; readonly outputs: readonly GradioOutput[] };
  /** What went wrong although the server reported success, by the values that it returned. */
  failure?(returned: readonly unknown[]): string | undefined;
  /** Goes into the job's output beside `files`, and into each file's metadata: seed, model, … */
  facts?(input: Input, sent: GradioArguments): Readonly<Record<string, unknown>>;

  /** How work that runs is stopped; `drain` unless said. Work that still waits is taken back. */
  readonly cancel?: GradioCancel;
  /** Parts of the whole by the description of the progress bar; without them one bar is all. */
  readonly stages?: readonly GradioStage[];
  /** For programs started with `auth=`. */
  readonly login?: { readonly username: string; readonly password: string };
  /** Longest silence of the event stream, which has a heartbeat every 15 s; 60,000 unless said. */
  readonly streamIdleMs?: number;
}

/** What `arguments` may look at besides the request. */
export interface GradioCall<Config> {
  readonly config: Config;
  readonly app: GradioServer;
  /** The same for all attempts; something random that is the job's can be made of it. */
  readonly jobId: string;
}

/** What answers at the backend's URL, bound to one endpoint. */
export interface GradioServer {
  /** "5.49.1". */
  readonly version: string;
  /** 4, 5 or 6. */
  readonly major: number;
  readonly pageTitle: string;
  /** "/generate". */
  readonly endpoint: string;
  /** Of the bound endpoint, under the names of this release. */
  readonly parameters: readonly GradioParameter[];
  /** Other named endpoints, with their slashes. */
  readonly endpoints: readonly string[];
  /** Whether the endpoint has the parameter, by its name or one of its aliases. */
  has(parameter: string): boolean;
  /** The parameter, by its name or one of its aliases. */
  parameter(name: string): GradioParameter | undefined;
}

export interface GradioParameter {
  readonly name: string;
  readonly label: string;
  /** "Slider", "Textbox", "Audio", … */
  readonly component: string;
  readonly hasDefault: boolean;
  readonly default: unknown;
  /** What the server declares: enums, and a slider's range. Undefined for files. */
  readonly schema: TSchema | undefined;
}

export interface GradioOutput {
  /** Place among the returned values, from 0. */
  readonly at: number;
  /** `file` unless said: every file in the value is stored. `text` goes into the job's output. */
  readonly as?: "file" | "text";
  /** Null or empty is BACKEND_BAD_OUTPUT; true unless said. */
  readonly required?: boolean;
  /** `output` unless said. */
  readonly role?: "output" | "preview";
  /** Without an extension: the file's own is kept. For text, its name in the job's output. */
  readonly name?: string;
}

/**
 * - `drain`: nothing can stop it. The run settles when the server reports the end, and what it made
 *   is dropped.
 * - `interrupt`: an endpoint of the program asks it to stop; then as `drain`.
 * - `cancel`: Gradio's own, which stops a generator at its next `yield`. Used where the endpoint is
 *   a generator; else as `drain`, because Gradio would start the next job beside this one.
 * - `kill`: as `drain`; the kernel stops the process that it runs once the grace time has passed.
 */
export type GradioCancel =
  | { readonly kind: "drain" | "cancel" | "kill" }
  | { readonly kind: "interrupt"; readonly endpoint: string };

export interface GradioStage {
  /** What the description of the progress bar contains. */
  readonly match: string;
  /** Share of the whole, relative to the other stages. */
  readonly weight: number;
}
