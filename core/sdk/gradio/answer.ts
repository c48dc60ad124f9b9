/** What a finished call says: its values, or why there are none. */
import { BackendError } from "../errors.ts";
import { saysOutOfMemory } from "../failure.ts";
import type { Artifact, Job } from "../job.ts";
import type { Callee } from "./callee.ts";
import type { Link } from "./connect.ts";
import { fetchFile, filesOf } from "./files.ts";
import { isRecord } from "./records.ts";
import type { GradioOutput } from "./types.ts";
import type { Message } from "./wire.ts";

const WRONG_ARITY = /didn't receive enough input values|received too many|needed: \d+, got: \d+/i;
const MAX_SAID = 500;
/** Of a text among the job's output. */
const MAX_TEXT = 20_000;

/** The returned values that `/info` lists, in its order. Throws what the server reports. */
export function returnedBy(message: Message, { returns }: Callee, title: string): unknown[] {
  const output = isRecord(message.output) ? message.output : {};
  if (message.success !== true) throw failed(output.error, title);
  const { data } = output;
  if (!Array.isArray(data)) {
    const what = `${title} ended the work without a result, as if somebody had cancelled it there`;
    throw new BackendError("BACKEND_FAILED", what);
  }
  return returns.map((place) => unwrapped(data[place]));
}

/** Whether the server wants another number of values: the binding is old. */
export function isArityFailure(error: unknown): boolean {
  return BackendError.is(error) && WRONG_ARITY.test(error.message);
}

export function failed(error: unknown, title: string): BackendError {
  const said = typeof error === "string" ? shown(error) : "";
  if (said === "") {
    const advice = "its own log tells, and launch(show_error=True) makes it tell here";
    return new BackendError("BACKEND_FAILED", `${title} failed without saying why; ${advice}`);
  }
  if (saysOutOfMemory(said)) {
    return new BackendError("OUT_OF_MEMORY", `${title} ran out of GPU memory: ${said}`);
  }
  return new BackendError("BACKEND_FAILED", `${title} failed: ${said}`);
}

export interface Stored {
  readonly files: readonly string[];
  readonly previews: readonly string[];
  readonly texts: Readonly<Record<string, string>>;
}

/** Fetches the files at once, because some programs delete them soon. */
export async function store<Input>(
  link: Link,
  outputs: readonly GradioOutput[],
  returned: readonly unknown[],
  job: Job<Input>,
  metadata: Record<string, unknown>,
): Promise<Stored> {
  const files: string[] = [];
  const previews: string[] = [];
  const texts: Record<string, string> = {};
  for (const output of outputs) {
    const value = returned[output.at];
    const isRequired = output.required !== false;
    if (output.as === "text") {
      if (typeof value === "string" && value !== "") {
        texts[output.name ?? "text"] = value.slice(0, MAX_TEXT);
      } else if (isRequired) throw nothing(link.title, returned);
      continue;
    }
    const found = filesOf(value);
    if (found.length === 0 && isRequired) throw nothing(link.title, returned);
    for (const file of found) {
      const artifact: Artifact = await fetchFile(link, file, output, job, metadata);
      (output.role === "preview" ? previews : files).push(artifact.url);
    }
  }
  return { files, previews, texts };
}

/** Some programs report their errors as the text beside an empty file. */
function nothing(title: string, returned: readonly unknown[]): BackendError {
  const said = shown(returned.filter((value) => typeof value === "string").join(" "));
  if (saysOutOfMemory(said)) {
    return new BackendError("OUT_OF_MEMORY", `${title} ran out of GPU memory: ${said}`);
  }
  const words = said === "" ? "" : `; it said: ${said}`;
  const what = `${title} reported success and gave nothing${words}`;
  return new BackendError("BACKEND_BAD_OUTPUT", what);
}

/** A value may come inside of a change to the page: `gr.update(value=…)`. */
function unwrapped(value: unknown): unknown {
  return isRecord(value) && value.__type__ === "update" ? value.value : value;
}

/** One line. Of a Python traceback only the last one; Gradio 4 puts quotes around an error. */
function shown(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const kept = text.includes("Traceback (most recent call last)") ? lines.slice(-1) : lines;
  const line = kept.join(" ").replace(/\s+/g, " ").trim();
  return (/^(['"])(.*)\1$/.exec(line)?.[2] ?? line).slice(0, MAX_SAID);
}
