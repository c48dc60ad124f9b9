/** A server's REST interface, as an operator writes it. */
import { declaredCost, declaredOptions, fileKind, type Static, t } from "switchyard/sdk";
import {
  byName,
  call,
  meanings,
  method,
  oneOf,
  path,
  strict,
  template,
  text,
  timer,
  words,
} from "./schemas.ts";

const submit = strict({
  ...call,
  body: t.Optional(template),
  form: t.Optional(template),
  multipart: t.Optional(template),
  id: text("Where the answer has the server's id: $.id."),
  keep: byName("More of the answer for paths, by name."),
  meanings,
  timeout_ms: timer("Until the answer begins."),
  stops_on_close: t.Optional(t.Boolean({ description: "Closing the connection stops the work." })),
});
const status = strict({
  ...call,
  field: t.String({ description: "Where the answer has the word: $.status." }),
  running: t.Array(t.String(), { description: "Words for work that goes on." }),
  done: t.Array(t.String(), { description: "Words for work that is done." }),
  failed: words("Words for work that failed."),
  cancelled: words("Words for work that was stopped."),
  progress: t.Optional(
    strict({ field: t.String(), end: t.Optional(t.Number({ exclusiveMinimum: 0 })) }),
  ),
  note: text("Where it says what it does."),
  error: text("Where it says what failed."),
  owner: text("Whose work the answer tells of, where a server knows only the current one."),
  meanings,
  interval_ms: timer("First pause between two questions."),
});
const result = strict({
  method,
  path: t.Optional(path),
  kind: oneOf("bytes", "multipart", "json-url", "base64"),
  parts: t.String({ default: "", description: "multipart: start of the files' media type." }),
  field: t.String({ default: "$", description: "json-url, base64: where it stands." }),
  of: t.Optional(oneOf("submit", "status")),
  meanings,
  ready_ms: timer("How long a result may be late."),
  facts: byName("What of the answer goes into the job's output, by name."),
  name: text("Of the file, without an ending."),
  media_type: text("Where the server does not tell."),
});
const health = strict({
  ...call,
  expect: t.Optional(t.Record(t.String(), t.Array(t.Unknown()))),
  version: text("Where it tells its version."),
  busy: t.Optional(strict({ field: t.String(), words: t.Array(t.Unknown()) })),
});
export const settings = {
  capability: fileKind,
  server: t.String({ default: "The REST server", description: "Its name, for messages." }),
  submit,
  status: t.Optional(status),
  result,
  cancel: t.Optional(strict(call)),
  remove: t.Optional(strict(call)),
  log: t.Optional(strict(call)),
  health,
  cost: declaredCost,
  options: declaredOptions,
};
const schema = t.Object(settings);
export type Settings = Static<typeof schema>;
