/**
 * The values of one call in the order that the server wants. A client's file is always uploaded: a
 * path or URL of a client would make the server open or fetch it.
 */
import type { TSchema } from "@sinclair/typebox";
import { BackendError } from "../errors.ts";
import type { FileReference, InputFile, Job } from "../job.ts";
import { named } from "./bind.ts";
import type { Callee } from "./callee.ts";
import type { Link } from "./connect.ts";
import { fitted, optionsFrom } from "./declared.ts";
import { upload } from "./files.ts";
import { isRecord } from "./records.ts";
import type { GradioApp, GradioArguments, GradioParameter } from "./types.ts";

export interface Payload {
  /** One value for each input. */
  readonly data: readonly unknown[];
  /** By the names that the plugin uses, and by those of this release. */
  readonly sent: GradioArguments;
}

/** What of an app decides about the values that a request may choose. */
type Chosen = Pick<
  GradioApp<never, never>,
  "title" | "needs" | "takes" | "pinned" | "aliases" | "options"
>;

const FILES = new Set(["audio", "video", "image", "file", "gallery", "imageeditor", "model3d"]);
const DEPTH = 8;

/** The parameters that nobody fills in but a request's `options`. */
export function offered(app: Chosen, callee: Callee): readonly GradioParameter[] {
  const { needs = [], takes = [], pinned = {}, aliases, options } = app;
  const taken = [...needs, ...takes, ...Object.keys(pinned)].map((name) =>
    named(callee.parameters, name, aliases),
  );
  return callee.parameters.filter((parameter) => {
    if (taken.includes(parameter)) return false;
    return options?.includes(parameter.name) ?? !isText(parameter.schema);
  });
}

function isText(schema: TSchema | undefined): boolean {
  return schema?.type === "string" || schema?.items?.type === "string";
}

/** A call that gives nothing but what the server itself has: `/interrupt`, `/refresh_gallery`. */
export function plainCall(callee: Callee): readonly unknown[] {
  return callee.slots.map((slot) =>
    slot.kind === "hidden" ? slot.value : usualValue(slot.parameter),
  );
}

export async function payload<Config, Input>(
  app: GradioApp<Config, Input>,
  link: Link,
  job: Job<Input>,
  given: GradioArguments,
): Promise<Payload> {
  const { callee } = link.bound;
  const values = new Map<GradioParameter, unknown>();
  const sent: Record<string, unknown> = {};
  const put = async (name: string, parameter: GradioParameter, value: unknown): Promise<void> => {
    const ready = await readyValue(link, job, parameter, value);
    values.set(parameter, ready);
    sent[name] = ready;
    sent[parameter.name] = ready;
  };

  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const parameter = named(callee.parameters, name, app.aliases);
    if (parameter !== undefined) await put(name, parameter, value);
    else if (value !== null && value !== "") throw unknownField(app.title, name, link);
  }
  for (const [name, value] of Object.entries(optionsOf(job.input))) {
    const parameter = offered(app, callee).find((candidate) => candidate.name === name);
    if (parameter?.schema === undefined) throw unknownOption(app, name, callee);
    await put(name, parameter, value);
  }
  for (const [name, value] of Object.entries(app.pinned ?? {})) {
    const parameter = named(callee.parameters, name, app.aliases);
    if (parameter !== undefined) values.set(parameter, fitted(app.title, parameter, value));
  }
  const data = callee.slots.map((slot) => {
    if (slot.kind === "hidden") return slot.value;
    return values.has(slot.parameter) ? values.get(slot.parameter) : usualValue(slot.parameter);
  });
  return { data, sent };
}

/** Null for a text crashes programs that trim it, so a text without a default is empty. */
function usualValue({ hasDefault, default: usual, schema }: GradioParameter): unknown {
  if (hasDefault) return usual;
  if (schema?.type === "string") return "";
  if (schema?.type === "boolean") return false;
  return schema?.type === "array" ? [] : null;
}

async function readyValue<Input>(
  link: Link,
  job: Job<Input>,
  parameter: GradioParameter,
  value: unknown,
): Promise<unknown> {
  if (value === null) return null;
  const files = await filesIn(value, job);
  if (files !== undefined) {
    const uploaded = await upload(link, files, job.signal);
    return Array.isArray(value) ? uploaded : uploaded[0];
  }
  const isFile = FILES.has(parameter.component.toLowerCase());
  if (isFile || namesPlace(value, DEPTH)) {
    const message = `${link.title} takes files for ${parameter.name} only as uploads`;
    throw new BackendError("BACKEND_REJECTED", message);
  }
  return fitted(link.title, parameter, value);
}

/** The files that the value stands for; undefined when it is something else. */
async function filesIn<Input>(
  value: unknown,
  job: Job<Input>,
): Promise<readonly InputFile[] | undefined> {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0 || !list.every((one) => isInputFile(one) || isReference(one))) {
    return undefined;
  }
  return Promise.all(
    list.flatMap((one) => {
      if (isInputFile(one)) return [Promise.resolve(one)];
      return isReference(one) ? [job.file(one)] : [];
    }),
  );
}

function isReference(value: unknown): value is FileReference {
  return isRecord(value) && typeof value.artifact_id === "string";
}

function isInputFile(value: unknown): value is InputFile {
  return isRecord(value) && typeof value.blob === "function" && typeof value.name === "string";
}

/** Anything that Gradio may read as a file on its disk or on the network. */
function namesPlace(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  if ("path" in value || "url" in value || "meta" in value) return true;
  return Object.values(value).some((part) => namesPlace(part, depth - 1));
}

function optionsOf(input: unknown): Record<string, unknown> {
  return isRecord(input) && isRecord(input.options) ? input.options : {};
}

function unknownField(title: string, name: string, { bound }: Link): BackendError {
  const where = `${title} here (Gradio ${bound.server.version}) has no ${name}`;
  return new BackendError("BACKEND_REJECTED", `${where}; leave that field out`);
}

function unknownOption(app: Chosen, name: string, callee: Callee): BackendError {
  const names = Object.keys(optionsFrom(offered(app, callee)));
  const has = names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
  return new BackendError("BACKEND_REJECTED", `${app.title} has no option ${name}; ${has}`);
}
