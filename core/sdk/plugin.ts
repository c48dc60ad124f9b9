/**
 * The plugin contract: everything a backend must say about itself, and nothing else.
 *
 * A plugin is one object literal. Loading it has no side effects, so the kernel reads its manifest
 * (config schema, capabilities, VRAM cost) before any backend is reachable.
 */
import type { Static, TObject, TProperties, TSchema } from "@sinclair/typebox";
import type { AudioFormat } from "./formats.ts";
import type { HttpClient } from "./http.ts";
import type { Job } from "./job.ts";

export const API_VERSION = 1;

export type MaybePromise<T> = T | Promise<T>;

/** What a request costs. Requests with the same `model` share one resident copy of the weights. */
export interface VramCost {
  readonly model: string;
  /** MiB held for as long as the model stays resident. */
  readonly residentMiB: number;
  /** MiB needed on top while one request runs. */
  readonly workingMiB: number;
  /**
   * What run time and working memory grow with, in any one unit: pixels, frames, tokens. Above 0
   * and finite. Requests of about the same size (within a power of two) are learned from together.
   */
  readonly size?: number;
  /** Expected milliseconds of a load and of a run, until the gateway has measured some. */
  readonly loadMs?: number;
  readonly runMs?: number;
}

/** Weights that a backend says it holds right now. */
export interface Resident {
  readonly model: string;
  readonly residentMiB: number;
}

/** One model that a backend can serve now; fields beyond `name` go to the client as they are. */
export interface ModelEntry {
  /** What a request writes in `model`. */
  readonly name: string;
  readonly [detail: string]: unknown;
}

/**
 * `busy` is for servers that can tell whether they compute; it lets an orphan lease end early.
 * `offers` names those of the plugin's capabilities that the server behind the URL has, where only
 * a look at it tells; all that the settings allow unless said.
 */
export type Health =
  | {
      readonly status: "ready";
      readonly version?: string;
      readonly busy?: boolean;
      readonly offers?: readonly string[];
    }
  | { readonly status: "degraded" | "down"; readonly reason: string };

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** What every hook of a plugin receives. */
export interface Context<Config> {
  /** The configured instance's name, for messages. */
  readonly backend: string;
  /**
   * The plugin's own settings, checked, with defaults filled in; one object for the backend's life.
   */
  readonly config: Config;
  /** Bound to the configured base URL; maps failures to `BackendError`s. */
  readonly http: HttpClient;
  readonly log: Logger;
  /** Asks another backend for a capability listed in `uses`; it queues and leases like any job. */
  call<T>(capability: string, input: unknown): Promise<T>;
  /** A folder of this backend's own that outlives the gateway, for what its jobs work on. */
  readonly folder: string;
  /**
   * A process that computes for this backend, with its descendants: what they hold on the device
   * counts as this backend's. The returned function ends that; the end of the process does too.
   */
  owns(pid: number): () => void;
}

export type Method = "GET" | "POST" | "DELETE";
export type Route = `${Method} /${string}`;

/** Work that may need a GPU. Every request for it becomes a job. */
export interface Capability<Config, Input extends TSchema> {
  /** Several backends may serve one route; the request may name its `backend`. */
  readonly route: Route;
  /** JSON names are snake_case; defaults are filled in and unknown keys dropped before any hook. */
  readonly input: Input;
  /** A complete request for the documentation, the console and the conformance suite. */
  readonly example: Static<Input>;
  /** Fields that need a scope of their own beside the route's, for example `generate:raw`. */
  readonly restricted?: Readonly<Record<string, string>>;
  /** After a gateway restart: pick the work up through `job.step`, or start over (the default). */
  readonly restart?: "resume" | "rerun";
  /**
   * Names of the fields of `input` that a backend with these settings has a use for; all unless
   * said. A request with another field goes to a backend that takes it, or is refused. Pure.
   */
  takes?(config: Config): readonly string[];
  /** Audio formats that the backend itself makes, its usual one first; only wav unless said. */
  readonly formats?: readonly AudioFormat[];
  /**
   * What the field `options` may hold, as the server itself declares it; kept for a minute. Without
   * it `options` is not taken, unless `input` has a schema of its own for it.
   */
  options?(ctx: Context<Config>, signal: AbortSignal): Promise<TProperties>;
  /** What the schema cannot say: why this request can never work, or undefined. Answers 422. */
  check?(input: Static<Input>, config: Config): string | undefined;
  /** Pure: same input, same cost. Omit for work that needs no GPU. */
  vram?(input: Static<Input>, config: Config): VramCost;
  /** Runs under a lease; settles when the BACKEND is idle again. The result becomes `output`. */
  run(job: Job<Static<Input>>, ctx: Context<Config>): MaybePromise<unknown>;
}

/** Work that needs no GPU and answers at once: no job, no lease. */
export interface Endpoint<Config, Input extends TSchema> {
  readonly route: Route;
  /** The query of a GET or DELETE, the JSON body of a POST. */
  readonly input: Input;
  /** The scope a key needs. */
  readonly scope: string;
  handle(input: Static<Input>, ctx: Context<Config>, signal: AbortSignal): Promise<unknown>;
}

export interface Plugin<
  Properties extends TProperties,
  Inputs extends Record<string, TSchema>,
  Bodies extends Record<string, TSchema>,
  Config = Static<TObject<Properties>>,
> {
  readonly apiVersion: typeof API_VERSION;
  /** Lower case, digits and hyphens. */
  readonly name: string;
  readonly version: string;
  /** The server's name as people write it, for messages: "ComfyUI". */
  readonly title: string;
  /** One sentence; shown in health, OpenAPI and the console. */
  readonly summary: string;
  /** Omit when there is no server to reach. */
  readonly defaultUrl?: string;
  /** A licence or attribution that a product must show. */
  readonly notice?: string;
  /** Its own settings, snake_case; the kernel adds url, device, timeouts, concurrency. */
  readonly config: Properties;
  /** Serves a request that names no backend only when no other backend can. */
  readonly fallback?: boolean;
  /** Jobs that may run at once on one backend; 1 unless said. The operator may override it. */
  readonly concurrency?: number;
  /** Capabilities of other plugins that this one calls, for example `text.embed`. */
  readonly uses?: readonly string[];
  readonly capabilities: { readonly [Kind in keyof Inputs]: Capability<Config, Inputs[Kind]> };
  readonly routes?: { readonly [Name in keyof Bodies]: Endpoint<Config, Bodies[Name]> };
  /** Names of the capabilities that a backend with these settings has; all unless said. Pure. */
  offers?(config: Config): readonly string[];

  health(ctx: Context<Config>, signal: AbortSignal): Promise<Health>;
  /** What a request may name in `model`; the kernel refuses other names when this is given. */
  models?(ctx: Context<Config>, signal: AbortSignal): Promise<readonly ModelEntry[]>;
  /** Corrects the ledger, under the names that `vram` gives; omit when the backend cannot tell. */
  residents?(ctx: Context<Config>, signal: AbortSignal): Promise<readonly Resident[]>;
  /**
   * Brings a model onto the device before the first job that needs it; settles when it is there,
   * at once when it was. Uses the options that requests use, so that none loads it again, and ends
   * with its signal. Omit when the server has no call for it and loads with the first request.
   */
  load?(ctx: Context<Config>, model: string, signal: AbortSignal): Promise<void>;
  /**
   * The gentle verb: settles when the backend says the model is gone. The probe has the last word.
   */
  free?(ctx: Context<Config>, model: string, signal: AbortSignal): Promise<void>;
  /** What leaves with `free`: the model (unless said), or everything that the server holds. */
  readonly frees?: "model" | "everything";
  /** Ends what the plugin itself started (a worker); the gateway is stopping. */
  close?(ctx: Context<Config>): Promise<void>;
}

/**
 * One way to reach a server: what the adapters for Gradio, commands and REST make, and what a
 * plugin for a program with several servers chooses from.
 */
export interface Transport<Config, Input = unknown> {
  health(ctx: Context<Config>, signal: AbortSignal): Promise<Health>;
  /** As `Capability.run`. */
  run(job: Job<Input>, ctx: Context<Config>): Promise<unknown>;
  /** As `Capability.options`. */
  options?(ctx: Context<Config>, signal: AbortSignal): Promise<TProperties>;
}

/** A plugin whose generics no longer matter: what the kernel stores. */
// biome-ignore lint/suspicious/noExplicitAny: the erased form of the generics above.
export type AnyPlugin = Plugin<any, any, any, any>;
// biome-ignore lint/suspicious/noExplicitAny: the erased form of the generics above.
export type AnyCapability = Capability<any, any>;

/** Identity function that gives a plugin literal its types. */
export function definePlugin<
  Properties extends TProperties,
  Inputs extends Record<string, TSchema> = Record<never, TSchema>,
  Bodies extends Record<string, TSchema> = Record<never, TSchema>,
>(plugin: Plugin<Properties, Inputs, Bodies>): Plugin<Properties, Inputs, Bodies> {
  return plugin;
}
