/** The settings as the SDK's adapter takes them. */
import {
  inputs,
  matches,
  namesIn,
  type RestJob,
  type RestResult,
  type Template,
  t,
} from "switchyard/sdk";
import type { Settings } from "./settings.ts";

export type Request = Readonly<Record<string, unknown>>;

export function specOf({ server, submit, result, status, ...calls }: Settings) {
  const { timeout_ms, stops_on_close, body, form, multipart, ...submission } = submit;
  const { cancel, remove, log, health } = calls;
  return plain({
    title: server,
    submit: {
      ...submission,
      ...{ body, form, multipart: multipart && withFiles(multipart) },
      ...{ timeoutMs: timeout_ms, stopsOnClose: stops_on_close },
    },
    status: status && { ...status, intervalMs: status.interval_ms },
    result: resultOf(result),
    ...{ cancel, remove, log, health },
  }) as unknown as RestJob<Settings, Request>;
}

function resultOf({ kind, parts, field, of, ready_ms, media_type, ...rest }: Settings["result"]) {
  const all = { ...rest, readyMs: ready_ms, mediaType: media_type };
  if (kind === "bytes") return { ...all, kind };
  return (
    kind === "multipart" ? { ...all, kind, parts } : { ...all, kind, field, of }
  ) as RestResult;
}

const TextFile = t.Object({
  file: t.String(),
  name: t.String(),
  media_type: t.Optional(t.String()),
});

function withFiles(parts: Readonly<Record<string, unknown>>) {
  const named = Object.entries(parts).map(([name, part]) => {
    if (!matches(TextFile, part)) return [name, part] as const;
    return [name, { file: part.file, name: part.name, mediaType: part.media_type }] as const;
  });
  return Object.fromEntries(named) as Record<string, Template>;
}

/** Without what is undefined: absent and undefined are the same to an operator. */
function plain(spec: object): object {
  const kept = Object.entries(spec).filter(([, value]) => value !== undefined);
  const isPart = (value: unknown): value is object => matches(t.Object({}), value);
  return Object.fromEntries(
    kept.map(([name, value]) => [name, isPart(value) ? plain(value) : value]),
  );
}

/** The fields that the templates name. A format is always taken: the gateway converts. */
export function takesOf({ capability, submit, cost }: Settings): readonly string[] {
  const { properties = {}, required = [] } = inputs.OF_KIND[capability] ?? {};
  const named = new Set([...namesIn(submit), ...required, "format", cost?.size ?? ""]);
  return Object.keys(properties).filter((name) => named.has(name));
}
