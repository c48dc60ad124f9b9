/** What Gradio servers answer, as far as it is used; all three versions in one shape. */
import { type Static, Type as t } from "@sinclair/typebox";

const Text = t.Optional(t.Union([t.String(), t.Null()]));
const Flag = t.Optional(t.Union([t.Boolean(), t.Null()]));
const Id = t.Union([t.Integer(), t.String()]);

const Component = t.Object({
  id: Id,
  type: t.String(),
  /** Not part of the API: a button, a layout block. */
  skip_api: Flag,
  props: t.Optional(t.Record(t.String(), t.Unknown())),
});

const Dependency = t.Object({
  /** Absent in early releases, where the place in the list counts. */
  id: t.Optional(t.Union([t.Integer(), t.Null()])),
  api_name: t.Optional(t.Union([t.String(), t.Boolean(), t.Null()])),
  inputs: t.Array(Id),
  outputs: t.Array(Id),
  batch: Flag,
  types: t.Optional(t.Object({ generator: Flag })),
});
export type Dependency = Static<typeof Dependency>;

/** `GET /config`. */
export const Config = t.Object({
  version: t.String({ minLength: 1, maxLength: 64 }),
  /** "sse_v3"; "ws" in Gradio 3. */
  protocol: Text,
  /** "/gradio_api" since Gradio 5. */
  api_prefix: Text,
  app_id: t.Optional(t.Union([t.Number(), t.String(), t.Null()])),
  title: Text,
  components: t.Array(Component),
  dependencies: t.Array(Dependency),
});
export type Config = Static<typeof Config>;

const Parameter = t.Object({
  label: Text,
  parameter_name: Text,
  parameter_has_default: Flag,
  parameter_default: t.Optional(t.Unknown()),
  component: t.Optional(t.String()),
  /** A JSON schema; what it holds is looked at piece by piece. */
  type: t.Optional(t.Unknown()),
});
export type Parameter = Static<typeof Parameter>;

const Endpoint = t.Object({
  parameters: t.Array(Parameter),
  returns: t.Optional(t.Array(t.Object({ label: Text, component: t.Optional(t.String()) }))),
});
export type Endpoint = Static<typeof Endpoint>;

/** `GET {prefix}/info`. */
export const Listing = t.Object({ named_endpoints: t.Record(t.String(), Endpoint) });
export type Listing = Static<typeof Listing>;

/** `GET {prefix}/app_id`. A number beyond what JSON keeps exactly: equal ones stay equal. */
export const AppId = t.Object({ app_id: t.Union([t.Number(), t.String()]) });

/** `POST {prefix}/queue/join`. */
export const Joined = t.Object({ event_id: t.String({ minLength: 1, maxLength: 128 }) });

/** `POST {prefix}/upload`: where the server put each file. */
export const Uploaded = t.Array(t.String({ minLength: 1, maxLength: 4_096 }), { minItems: 1 });

const Bar = t.Object({
  index: t.Optional(t.Union([t.Number(), t.Null()])),
  length: t.Optional(t.Union([t.Number(), t.Null()])),
  progress: t.Optional(t.Union([t.Number(), t.Null()])),
  unit: Text,
  desc: Text,
});
export type Bar = Static<typeof Bar>;

/** One message of `GET {prefix}/queue/data`. */
export const Message = t.Object({
  msg: t.String(),
  event_id: Text,
  rank: t.Optional(t.Union([t.Number(), t.Null()])),
  progress_data: t.Optional(t.Union([t.Array(Bar), t.Null()])),
  success: Flag,
  output: t.Optional(t.Unknown()),
  message: Text,
  session_not_found: Flag,
});
export type Message = Static<typeof Message>;

/** A file as Gradio passes it on; found anywhere in a returned value. */
export const FileData = t.Object({
  path: t.String({ minLength: 1, maxLength: 4_096 }),
  orig_name: Text,
  mime_type: Text,
  meta: t.Object({ _type: t.Literal("gradio.FileData") }),
});
export type FileData = Static<typeof FileData>;
