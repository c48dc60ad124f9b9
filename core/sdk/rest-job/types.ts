/**
 * A server that takes work over REST, as data: where to submit, how to ask, what to fetch. Paths
 * into JSON answers are like `$.task.id` or `$.files[0].url`.
 */
import type { Job } from "../job.ts";
import type { MaybePromise } from "../plugin.ts";

export type RestMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/**
 * JSON with places to fill. A string that is exactly `{{name}}` becomes the value itself, so a
 * number stays a number, and an absent value leaves its field out; `{{name}}` inside a longer string
 * becomes text. `{{style|prompt|"pop"}}` is the first that is there, `{{options.cfg}}` lies deeper.
 * Filled in the parsed tree: a value is never read as JSON, nor filled again.
 */
export type Template =
  | string
  | number
  | boolean
  | null
  | readonly Template[]
  | { readonly [name: string]: Template };

/** What the places of templates hold. A file of the request is an `InputFile` or a `File`. */
export type Values = Readonly<Record<string, unknown>>;

/** A text that the server wants as an uploaded file. */
export interface TextFile {
  readonly file: Template;
  readonly name: string;
  /** text/plain unless said. */
  readonly mediaType?: string;
}

/** What an HTTP status says at this place of this server. */
export type Meaning =
  /** Come back later: BACKEND_BUSY. */
  | "busy"
  /** The work goes on; ask again. */
  | "not-ready"
  /** The server does not know the work any more: BACKEND_LOST. */
  | "lost"
  /** The work failed: BACKEND_FAILED. */
  | "failed"
  /** The input is refused: BACKEND_REJECTED. */
  | "rejected";

export type Meanings = Readonly<Record<number, Meaning>>;

/** A call whose path holds only what the server itself named: `{{id}}` and what `keep` kept. */
export interface RestCall {
  readonly method?: RestMethod;
  /** From the base URL on, with its query: `/job?id={{id}}&cancel=1`. */
  readonly path: string;
}

export interface Submit {
  /** POST unless said. */
  readonly method?: RestMethod;
  /** Fixed: nothing of a request gets into a path. */
  readonly path: string;
  /** One of the three: JSON, urlencoded, or multipart. */
  readonly body?: Template;
  readonly form?: Readonly<Record<string, Template>>;
  readonly multipart?: Readonly<Record<string, Template | TextFile>>;
  /** Where the answer has the server's id for the work; absent: it has none. */
  readonly id?: string;
  /** More of the answer to be kept, by name, for paths: `{ url: "$.url" }`. */
  readonly keep?: Readonly<Record<string, string>>;
  readonly meanings?: Meanings;
  /** Until the answer's headers: 60,000 unless said, 3,600,000 where they are the result's. */
  readonly timeoutMs?: number;
  /** A synchronous server that stops its work when the connection closes. */
  readonly stopsOnClose?: boolean;
}

export interface Status extends RestCall {
  /** Where the answer has the word. */
  readonly field: string;
  /** Words for work that waits or goes on. */
  readonly running: readonly string[];
  readonly done: readonly string[];
  readonly failed?: readonly string[];
  readonly cancelled?: readonly string[];
  /** A number, and what it is at the end (100 unless said). */
  readonly progress?: { readonly field: string; readonly end?: number };
  /** Where it says what it does, or what failed. */
  readonly note?: string;
  readonly error?: string;
  /** Whose work the answer speaks of, for servers that tell only of the current one. */
  readonly owner?: string;
  /** 404 is `lost` unless said. */
  readonly meanings?: Meanings;
  /** First pause between two questions; 500 unless said. It grows to 4 times that. */
  readonly intervalMs?: number;
}

/** What every kind of result may say. */
interface Fetched {
  /** Absent: what is wanted stands in the answer of `status` or, without one, of `submit`. */
  readonly path?: string;
  readonly method?: RestMethod;
  readonly meanings?: Meanings;
  /** How long `not-ready` is waited for once the status says done; 60,000 unless said. */
  readonly readyMs?: number;
  /** Facts of a JSON answer or part that go into the job's output: `{ seed: "$.seed" }`. */
  readonly facts?: Readonly<Record<string, string>>;
  /** Name of the file without its ending; `output` unless said. */
  readonly name?: string;
  /** Its type where the server does not tell. */
  readonly mediaType?: string;
}

export type Result =
  | (Fetched & { readonly kind: "bytes" })
  /** Each part whose media type starts with `parts` is a file; a JSON part holds facts. */
  | (Fetched & { readonly kind: "multipart"; readonly parts: string })
  /** JSON that names files by path or URL: only the path is used, below the base URL. */
  | (Fetched & {
      readonly kind: "json-url";
      readonly field: string;
      /** Which answer has it when there is no `path`; the status's unless there is none. */
      readonly of?: "submit" | "status";
    })
  | (Fetched & {
      readonly kind: "base64";
      readonly field: string;
      readonly of?: "submit" | "status";
    });

export interface HealthCheck extends RestCall {
  /** What the answer must say, by path, or another program answers: `{ "$.status": ["ok"] }`. */
  readonly expect?: Readonly<Record<string, readonly unknown[]>>;
  readonly version?: string;
  /** Where it tells that it works, and with which words. */
  readonly busy?: { readonly field: string; readonly words: readonly unknown[] };
}

export interface RestJob<Config, Input> {
  /** The server's name as people write it, for messages. */
  readonly title: string;
  /** The fields of the input unless said; files of the request as `job.file` gives them. */
  values?(job: Job<Input>, config: Config): MaybePromise<Values>;
  readonly submit: Submit;
  /** Absent: the server answers `submit` with the result, or `result` is asked until it is there. */
  readonly status?: Status;
  readonly result: Result;
  /** Really stops the work. Without it a cancelled run waits until the work has ended. */
  readonly cancel?: RestCall;
  /** Asked when the work has ended and its files are here: what the server keeps may go. */
  readonly remove?: RestCall;
  /**
   * The server's own log as text or as events, for servers that only say `failed`: its last line
   * that names an error tells why. Read for a moment, after a failure.
   */
  readonly log?: RestCall;
  readonly health: HealthCheck;
}
