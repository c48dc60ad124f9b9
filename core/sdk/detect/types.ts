/** What answers at a bare URL, and a transport that chooses its server by it. */
import type { Context, Transport } from "../plugin.ts";

/** What was found at a URL. At most one of `gradio` and `openapi` is asked to its end. */
export interface Evidence {
  /** A Gradio app. */
  readonly gradio?: GradioEvidence;
  /** A page `/openapi.json`. */
  readonly openapi?: OpenApiEvidence;
  /** JSON answers of the pages that the variants ask for, by path; only those that came. */
  readonly pages: Readonly<Record<string, unknown>>;
  /** The first message of the WebSockets that the variants ask for, JSON where it is, by path. */
  readonly sockets: Readonly<Record<string, unknown>>;
  /** All of it in a few words, for health and errors: "Gradio 4.44.1 with /generate_song, …". */
  readonly summary: string;
}

export interface GradioEvidence {
  readonly version: string;
  readonly title?: string;
  /** Names of the parameters, by endpoint: `{ "/generate": ["prompt", "seconds_total"] }`. */
  readonly endpoints: Readonly<Record<string, readonly string[]>>;
}

export interface OpenApiEvidence {
  readonly title?: string;
  readonly version?: string;
  /** `/api/generate`, `/api/tasks/{task_id}`. */
  readonly paths: readonly string[];
}

/** One of the servers that a plugin knows. */
export interface Variant<Config, Input> {
  /** What the operator writes in the setting, and health says: "yuegp". */
  readonly name: string;
  readonly transport: Transport<Config, Input>;
  /**
   * What this server would show and the evidence lacks, "the endpoint /generate_song"; undefined when
   * nothing is missing. Left out by what no URL shows, a command: that is only chosen by name.
   */
  missing?(evidence: Evidence): string | undefined;
  /** Pages to ask for JSON, beside those that every detection asks: `["/props"]`. */
  readonly pages?: readonly string[];
  /** WebSockets to listen to for one message. */
  readonly sockets?: readonly string[];
}

export interface Choice<Config, Input> {
  /** The kind of server as people write it, for messages: "YuE". */
  readonly title: string;
  /** In the order in which they are tried; the first that fits is taken. */
  readonly variants: readonly Variant<Config, Input>[];
  /** The variant that the settings name; undefined or "auto" when it is to be found out. */
  chosen?(config: Config): string | undefined;
}

/** A transport over several; `pick` tells which one serves this backend now. */
export interface ChosenTransport<Config, Input> extends Transport<Config, Input> {
  pick(ctx: Context<Config>, signal: AbortSignal): Promise<Variant<Config, Input>>;
}
