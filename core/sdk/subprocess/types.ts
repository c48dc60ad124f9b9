/**
 * What a plugin says of a command-line program: what must be installed, what to run for a job, what
 * its log means and which files it makes. `command()` does the rest.
 */
import type { BackendError } from "../errors.ts";
import type { Artifact, FileReference, Job } from "../job.ts";
import type { MaybePromise } from "../plugin.ts";

export interface CommandSpec<Config, Input = unknown> {
  /** The program's name as people write it, for messages. */
  readonly title: string;
  /** What must be there before a job can run; health says what is missing. */
  needs(config: Config): CommandNeeds;
  /**
   * The request's files that the program reads, by a name of the plugin's own without an ending:
   * `{ voice: input.voice_sample }`. They are written into `in/` before `plan` is asked.
   */
  files?(input: Input, config: Config): Readonly<Record<string, FileReference | undefined>>;
  /**
   * What to run. Called once more after a restart of the gateway, so it changes nothing and says
   * the same again for the same job: chance goes into the job's input or comes from `job.id`.
   */
  plan(job: PlannedJob<Input>, config: Config, folders: CommandFolders): MaybePromise<CommandPlan>;
  /** More for the job's `output` beside `files`, for example from a JSON file in `out/`. */
  facts?(done: CommandDone<Config, Input>): MaybePromise<Readonly<Record<string, unknown>>>;
}

export interface CommandNeeds {
  /** A full path, a path relative to `cwd`, or a name to be found on PATH. */
  readonly program: string;
  /** The folder the program runs in; the job's own when absent. */
  readonly cwd?: string;
  /** PATH of the plan's `env`, when it has one. */
  readonly path?: string;
  /** Files or folders that must exist, relative to `cwd` or full: a script, a checkpoint. */
  readonly files?: readonly string[];
}

/** What of a job a plan may depend on. */
export type PlannedJob<Input> = Pick<Job<Input>, "id" | "input">;

/** Full paths, the same ones after a restart. */
export interface CommandFolders {
  /** Holds what the plan's `files` and the request's files say. */
  readonly in: string;
  /** Empty at first; only what is written here can become an output. */
  readonly out: string;
  /** The paths of the request's files, by the names that `CommandSpec.files` gave. */
  readonly files: Readonly<Record<string, string>>;
}

export interface CommandPlan {
  /**
   * The program and its arguments, never a shell line. A request's text goes into one element whole
   * (`--prompt=${text}`, or `argument("prompt", text)` for one of its own), or into a file.
   */
  readonly argv: readonly string[];
  /** As in `CommandNeeds`. */
  readonly cwd?: string;
  /**
   * On top of the listed names of the gateway's environment, of PYTHONUNBUFFERED and of what
   * `CommandNeeds` cannot know, for example CUDA_VISIBLE_DEVICES.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Written into `in/` under these names, which are never a client's. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** At least one; the job is done when every one that is not optional is there and not empty. */
  readonly outputs: readonly CommandOutput[];
  /** In the order of the work; tqdm's bars as they come when absent. */
  readonly progress?: readonly ProgressRule[];
  /** It prints nothing while it works: then being alive counts as a sign of life. */
  readonly quiet?: boolean;
  /** Milliseconds between SIGTERM and SIGKILL; 10,000 unless said. */
  readonly graceMs?: number;
  /**
   * What the end means, asked before anything else is looked at, also after exit code 0; undefined
   * for the usual rules (exit code, memory, outputs).
   */
  failure?(end: CommandEnd): MaybePromise<BackendError | undefined>;
}

export interface CommandOutput {
  /** Below `out/`: `*` and `?` within a name, `**` for any folders, `{a,b}`. */
  readonly glob: string;
  /** Matching files that are none: `*_draft.*`. */
  readonly except?: string;
  /** `newest` unless said; `one` refuses several; `all` are stored in the order of their names. */
  readonly take?: "one" | "newest" | "all";
  /** `output` unless said. */
  readonly role?: "output" | "preview";
  readonly optional?: boolean;
  /** For the client, without an ending; the file's own name when absent. */
  readonly name?: string;
  readonly mediaType?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/**
 * One stage of the work, and the lines that tell how far it is. Stages come in the order of the
 * rules and never go back: a line that fits a later rule ends the stages before it.
 */
export interface ProgressRule {
  /** For the client: "Stage 1", "decoding". */
  readonly stage?: string;
  /**
   * `"tqdm"` for its bars (except those of loading and downloading), or a pattern with named groups
   * `done` and `total`, or `percent`; without groups the line only begins the stage.
   */
  readonly pattern: RegExp | "tqdm";
  /** With `"tqdm"`: only bars whose words before the percentage fit. */
  readonly title?: RegExp;
  /** The rule counts only after a line like this, which begins its stage. */
  readonly after?: RegExp;
  /** The stage's part of the whole, next to the others'; 1 unless said. */
  readonly weight?: number;
  /** Bars that come one after the other within the stage; 1 unless said. */
  readonly bars?: number;
}

/** How the program ended. */
export interface CommandEnd {
  /** Undefined when a signal ended it, or nobody saw how it ended. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** The last lines of what it printed, newest last. */
  readonly lines: readonly string[];
  readonly folders: CommandFolders;
  /**
   * A text of at most 1 MiB that the program wrote below `out/`, by its name there; undefined when
   * there is none. To be used in place of the file system: what lies there may be a link.
   */
  text(name: string): Promise<string | undefined>;
}

/** A program that has ended well, its outputs stored. */
export interface CommandDone<Config, Input> {
  readonly job: PlannedJob<Input>;
  readonly config: Config;
  readonly folders: CommandFolders;
  readonly lines: readonly string[];
  /** As in `CommandEnd`. */
  text(name: string): Promise<string | undefined>;
  /** Of role `output`, in the order of the plan. */
  readonly artifacts: readonly Artifact[];
}
