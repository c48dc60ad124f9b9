/** What a capability's `run` may do with its job: report, persist, emit, store, stop. */

export interface Job<Input = unknown> {
  /** Lower-case UUIDv7; servers that accept a client-chosen id take it as it is. */
  readonly id: string;
  /** 1 for the first execution. */
  readonly attempt: number;
  readonly input: Input;
  /** Aborted on cancel and on timeout; its `reason` says which. A drain lets the work go on. */
  readonly signal: AbortSignal;
  /**
   * `fraction` is 0..1; undefined when the backend does not know. Never goes back in an attempt.
   */
  progress(fraction: number | undefined, note?: string): void;
  /** Streams a piece of the text result to listeners, for example a token. */
  emit(text: string): void;
  /** Shows an unfinished picture; only the newest one is kept. */
  preview(image: Uint8Array, mediaType: string): void;
  /** Stores an output that outlives the backend. Throws BACKEND_BAD_OUTPUT when it is empty. */
  artifact(body: ArtifactBody, options: ArtifactOptions): Promise<Artifact>;
  /**
   * A file of the request, by the reference that stands in `input`. Throws BACKEND_REJECTED when
   * it is not there any more.
   */
  file(reference: FileReference): Promise<InputFile>;
  /** Runs `work` once per job: after a restart the stored result (JSON) is returned instead. */
  step<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Registers how to stop the backend's side of this job; called at most once, on abort. */
  onCancel(stop: () => Promise<unknown>): void;
}

/** How a file stands in a job's input; see `inputs.file`. */
export interface FileReference {
  readonly artifact_id: string;
}

/** A file that a client sent, or an earlier output. The name is the client's: not for a path. */
export interface InputFile {
  readonly name: string;
  /** Found in the bytes. */
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** As often as wanted. */
  blob(): Promise<Blob>;
}

export type ArtifactBody = Blob | Response | ReadableStream<Uint8Array> | Uint8Array;

export interface ArtifactOptions {
  /** For display and download; path separators and control characters are removed. */
  readonly name: string;
  /** What the backend claims; the stored type is sniffed from the bytes where that is possible. */
  readonly mediaType?: string;
  /** A `preview` shows what the output is: a poster, a waveform; `output` unless said. */
  readonly role?: "output" | "preview";
  /** JSON for the client: seed, duration_seconds, width, … */
  readonly metadata?: Record<string, unknown>;
}

/** A stored output. */
export interface Artifact {
  readonly id: string;
  readonly name: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** Path on this gateway. */
  readonly url: string;
  readonly metadata: Record<string, unknown>;
}
