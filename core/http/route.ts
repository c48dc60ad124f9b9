/**
 * A route as data: one table from which the server, the authorisation guard, the OpenAPI document
 * and the tests are made. `policy` is required, so a route without an authorisation cannot be
 * written.
 */
import type { Static, TSchema } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import type { Scope } from "../auth/scopes.ts";
import type { Connection } from "../runtime/mod.ts";
import type { FileKind } from "../sdk/inputs.ts";

export type { Connection, ServerSocket, SocketHandlers } from "../runtime/mod.ts";

/**
 * public: no key. bootstrap: the handler decides (first key only). any: any valid key.
 * A scope: a key that has it. `ticket`: a single-use ticket for this path may stand in for the key.
 */
export interface Policy {
  readonly access: "public" | "bootstrap" | "any" | Scope;
  readonly ticket?: true;
}

/** A request that the guard let through. */
export interface Admitted {
  /** Undefined only on `public` and `bootstrap` routes. */
  readonly principal?: Principal;
  /** For the answer: the key's rate limit. */
  readonly headers: Readonly<Record<string, string>>;
  /** The subprotocol to select when a WebSocket is opened. */
  readonly protocol?: string;
}

export interface Call<Params, Query, Body> {
  readonly request: Request;
  readonly requestId: string;
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Undefined only on `public` and `bootstrap` routes. */
  readonly principal: Principal | undefined;
  readonly connection: Connection;
  /** The WebSocket subprotocol to answer with. */
  readonly protocol?: string;
}

/** A handler's answer other than "200 with this data". */
export class Reply {
  readonly data: unknown;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(data: unknown, status = 200, headers: Readonly<Record<string, string>> = {}) {
    this.data = data;
    this.status = status;
    this.headers = headers;
  }
}

/** A file of a form, on its way in. */
export interface FormFile {
  /** Of the part. */
  readonly field: string;
  /** The client's: not for a path. */
  readonly name: string;
  /** What the client says it is. */
  readonly mediaType: string;
  readonly body: ReadableStream<Uint8Array>;
}

/** A multipart body, not read yet: the handler decides where its files go. */
export class Form {
  /**
   * Hands on one file after the other as they arrive and settles with the other fields. Throws what
   * `take` does, BAD_REQUEST for a broken form, PAYLOAD_TOO_LARGE; then nothing more is read.
   */
  readonly read: (take: (file: FormFile) => Promise<void>) => Promise<Record<string, string>>;

  constructor(read: Form["read"]) {
    this.read = read;
  }
}

export interface RouteDocs {
  readonly tag: string;
  /** One line. */
  readonly summary: string;
  readonly description?: string;
  /** Schema of `data` in the envelope. */
  readonly data?: TSchema;
  readonly status?: number;
  readonly exampleBody?: unknown;
  readonly exampleData?: unknown;
  /** For routes whose body is checked by the handler: the schema to show. */
  readonly bodySchema?: TSchema;
  /** Likewise for the query. */
  readonly querySchema?: TSchema;
}

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** With `:name` parameters. */
  readonly path: string;
  readonly policy: Policy;
  readonly params?: TSchema;
  readonly query?: TSchema;
  /** JSON body; a route without it and without `rawBody` takes none. */
  readonly body?: TSchema;
  /**
   * The handler gets parsed but unchecked JSON; where `docs.bodySchema` has fields for files also a
   * `Form`, and JSON of the size of an upload.
   */
  readonly rawBody?: true;
  readonly docs: RouteDocs;
  readonly handle: (call: Call<never, never, never>) => unknown;
}

/** Gives a route literal its types. The handler returns the data, a `Reply`, or a `Response`. */
export function route<Params extends TSchema, Query extends TSchema, Body extends TSchema>(
  literal: Omit<Route, "params" | "query" | "body" | "handle"> & {
    readonly params?: Params;
    readonly query?: Query;
    readonly body?: Body;
    handle(call: Call<Static<Params>, Static<Query>, Static<Body>>): unknown;
  },
): Route {
  return literal;
}

/** The fields of a body that take files, and what these must be; of any of its variants. */
export function fileFields(schema: TSchema | undefined): Readonly<Record<string, FileKind>> {
  const fields: Record<string, FileKind> = {};
  for (const variant of (schema?.anyOf as TSchema[] | undefined) ?? [schema]) {
    for (const [name, field] of Object.entries<TSchema>(variant?.properties ?? {})) {
      if (field.file) fields[name] = field.file as FileKind;
    }
  }
  return fields;
}

/** The query of a request; of a name that comes twice the last value. */
export function queryOf(request: Request): Record<string, string> {
  const start = request.url.indexOf("?");
  return start < 0 ? {} : Object.fromEntries(new URLSearchParams(request.url.slice(start)));
}
