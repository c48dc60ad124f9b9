/** A job without a kernel: it keeps what a plugin reports and stores, for tests to look at. */
import { createHash } from "node:crypto";
import { BackendError } from "../errors.ts";
import type { Artifact, ArtifactBody, Job } from "../job.ts";

export interface TestJobOptions {
  readonly id?: string;
  readonly attempt?: number;
  /** Results of steps that an earlier execution stored: this one is a restart. */
  readonly steps?: ReadonlyMap<string, unknown>;
  /** What `file` gives, by artifact id. */
  readonly files?: Readonly<Record<string, File>>;
}

export interface TestArtifact extends Artifact {
  readonly role: "output" | "preview";
  readonly bytes: Uint8Array;
}

export interface TestJob<Input = unknown> extends Job<Input> {
  readonly progressed: readonly { readonly fraction: number | undefined; readonly note?: string }[];
  readonly emitted: readonly string[];
  readonly previews: readonly { readonly image: Uint8Array; readonly mediaType: string }[];
  readonly artifacts: readonly TestArtifact[];
  /** Artifacts that are still being stored: 0 when `run` waited for all. */
  readonly storing: number;
  /** Results of steps, as JSON keeps them. */
  readonly steps: ReadonlyMap<string, unknown>;
  /** What a registered stop function threw. */
  readonly stopErrors: readonly unknown[];
  /** As the kernel does it: aborts the signal, then calls what `onCancel` registered. */
  cancel(): Promise<void>;
}

export function createTestJob<Input>(input: Input, options: TestJobOptions = {}): TestJob<Input> {
  const abort = new AbortController();
  const { signal } = abort;
  const stops: (() => Promise<unknown>)[] = [];
  const progressed: TestJob["progressed"][number][] = [];
  const emitted: string[] = [];
  const previews: TestJob["previews"][number][] = [];
  const artifacts: TestArtifact[] = [];
  const stopErrors: unknown[] = [];
  const steps = new Map(options.steps);
  let storing = 0;

  const runStop = async (stop: () => Promise<unknown>): Promise<void> => {
    try {
      await stop();
    } catch (error) {
      stopErrors.push(error);
    }
  };

  return {
    id: options.id ?? "01890a5d-ac96-774b-bcce-b302099a8057",
    attempt: options.attempt ?? 1,
    input,
    signal,
    progressed,
    emitted,
    previews,
    artifacts,
    steps,
    stopErrors,
    get storing() {
      return storing;
    },
    progress(fraction, note) {
      progressed.push(note === undefined ? { fraction } : { fraction, note });
    },
    emit: (text) => void emitted.push(text),
    preview: (image, mediaType) => void previews.push({ image, mediaType }),
    async artifact(body, options) {
      const { name, mediaType = "application/octet-stream", metadata = {} } = options;
      storing += 1;
      try {
        signal.throwIfAborted();
        const bytes = await bytesOf(body);
        if (bytes.byteLength === 0) {
          throw new BackendError("BACKEND_BAD_OUTPUT", `the output ${name} is empty`);
        }
        const { role = "output" } = options;
        const described = describe(bytes, artifacts.length, name, mediaType, metadata);
        const artifact = { ...described, role };
        artifacts.push(artifact);
        return artifact;
      } finally {
        storing -= 1;
      }
    },
    async file({ artifact_id }) {
      const file = options.files?.[artifact_id];
      if (!file) throw new BackendError("BACKEND_REJECTED", `there is no file ${artifact_id}`);
      const { name, type: mediaType, size: sizeBytes } = file;
      return { name, mediaType, sizeBytes, blob: async () => file };
    },
    async step<T>(name: string, work: () => Promise<T>): Promise<T> {
      if (!steps.has(name)) {
        const result = await work();
        // The kernel no longer writes for a job that has ended.
        signal.throwIfAborted();
        steps.set(name, throughJson(result));
      }
      const stored: unknown = steps.get(name);
      return stored as T;
    },
    onCancel(stop) {
      if (signal.aborted) void runStop(stop);
      else stops.push(stop);
    },
    async cancel() {
      if (!signal.aborted) abort.abort(new Error("the job was cancelled"));
      await Promise.all(stops.splice(0).map(runStop));
    },
  };
}

/** The value as a restarted kernel would read it from its store. */
function throughJson(value: unknown): unknown {
  const text: string | undefined = JSON.stringify(value);
  return text === undefined ? undefined : JSON.parse(text);
}

async function bytesOf(body: ArtifactBody): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  const readable = body instanceof ReadableStream ? new Response(body) : body;
  return new Uint8Array(await readable.arrayBuffer());
}

function describe(
  bytes: Uint8Array,
  index: number,
  name: string,
  mediaType: string,
  metadata: Record<string, unknown>,
): Omit<TestArtifact, "role"> {
  const id = `artifact-${index + 1}`;
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const url = `/artifacts/${id}`;
  return { id, name, mediaType, sizeBytes: bytes.byteLength, sha256, url, metadata, bytes };
}
