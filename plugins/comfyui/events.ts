/** Reads the messages of ComfyUI's WebSocket: text frames are JSON events, binary ones previews. */
import { type Job, matches, t } from "switchyard/sdk";

const Event = t.Object({ type: t.String(), data: t.Record(t.String(), t.Unknown()) });
const Status = t.Object({
  status: t.Object({ exec_info: t.Object({ queue_remaining: t.Number() }) }),
});
const Cached = t.Object({ nodes: t.Array(t.String()) });
const NodeState = t.Object({ value: t.Number(), max: t.Number(), state: t.String() });
const States = t.Object({ nodes: t.Record(t.String(), NodeState) });
const PreviewSource = t.Object({ prompt_id: t.String(), image_type: t.String() });

/** Kinds of binary messages, and the format of the first kind that is not JPEG. */
const [PREVIEW, PREVIEW_WITH_SOURCE, PNG] = [1, 4, 2];

/** `nodes` are the graph's ids; `onEnd` is called when the server is done with the prompt. */
export function createReader(
  job: Pick<Job, "id" | "progress" | "preview">,
  nodes: readonly string[],
  onEnd: () => void,
): (message: string | Uint8Array) => void {
  const finished = new Set<string>();
  let started = false;
  let furthest = 0;
  /** The prompt of the last event; a preview of the old kind does not say whose it is. */
  let current: unknown;

  function advance(running: number, note?: string): void {
    started = true;
    furthest = Math.max(furthest, Math.min(1, (finished.size + running) / nodes.length));
    job.progress(furthest, note);
  }

  function readStates(
    states: Readonly<Record<string, { value: number; max: number; state: string }>>,
  ) {
    let running = 0;
    let note: string | undefined;
    for (const [node, { value, max, state }] of Object.entries(states)) {
      // Nodes that a node made for itself are not part of the graph that was sent.
      if (!nodes.includes(node)) continue;
      if (state === "finished") finished.add(node);
      if (state !== "running" || max <= 0) continue;
      running += Math.min(1, value / max);
      if (max > 1) note = `step ${value} of ${max}`;
    }
    advance(running, note);
  }

  function readEvent({
    type,
    data,
  }: {
    type: string;
    data: Readonly<Record<string, unknown>>;
  }): void {
    // Another prompt came or went, so the worker lives: a sign of life while we wait for our turn.
    if (type === "status" && !started && matches(Status, data)) {
      const others = data.status.exec_info.queue_remaining;
      if (others > 1) job.progress(undefined, `${others} prompts in ComfyUI's queue`);
    }
    if (data.prompt_id !== undefined) current = data.prompt_id;
    if (data.prompt_id !== job.id) return;
    if (type === "execution_start") advance(0);
    if (type === "execution_cached" && matches(Cached, data)) {
      for (const node of data.nodes) finished.add(node);
      advance(0);
    }
    if (type === "progress_state" && matches(States, data)) readStates(data.nodes);
    // The last event of a prompt, however it ended; its history is written before.
    if (type === "executing" && data.node === null) onEnd();
  }

  function readPreview(bytes: Uint8Array): void {
    if (bytes.length < 8) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const second = view.getUint32(4);
    if (view.getUint32(0) === PREVIEW && current === job.id) {
      job.preview(bytes.slice(8), second === PNG ? "image/png" : "image/jpeg");
    } else if (view.getUint32(0) === PREVIEW_WITH_SOURCE) {
      const source = parse(new TextDecoder().decode(bytes.subarray(8, 8 + second)));
      if (!matches(PreviewSource, source) || source.prompt_id !== job.id) return;
      job.preview(bytes.slice(8 + second), source.image_type);
    }
  }

  return (message) => {
    if (typeof message !== "string") return readPreview(message);
    const event = parse(message);
    if (matches(Event, event)) readEvent(event);
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
