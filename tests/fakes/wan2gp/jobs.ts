/** The one job that WanGP works on, and those that it remembers. */
import { setTimeout as delay } from "node:timers/promises";
import { readBehaviour } from "switchyard/sdk/testing";
import { BYTES, ENDINGS, MODELS, type Model } from "./models.ts";

export interface Stored {
  readonly path: string;
  readonly kind: Model["makes"];
  readonly bytes: Uint8Array;
  readonly settings: Readonly<Record<string, unknown>>;
}

interface Work {
  readonly id: string;
  readonly events: object[];
  updated: number;
  cancelRequested: boolean;
  result: Record<string, unknown> | null;
}

export interface Jobs {
  /** Cancels that ended the work. */
  readonly stopped: number;
  submit(settings: Readonly<Record<string, unknown>>): Work;
  find(id: unknown): Work | undefined;
  snapshot(work: Work, eventLimit: unknown): unknown;
  /** As after a restart of the program. */
  forget(): void;
  /** Ends what hangs. */
  release(): void;
}

export function createJobs(gallery: Map<string, Stored>, stepMs: number): Jobs {
  const jobs = new Map<string, Work>();
  let count = 0;
  let stopped = 0;
  let released = false;

  function note(work: Work, phase: string, step: number | null, steps: number | null): void {
    const progress = steps ? 20 + Math.floor((65 * (step ?? 0)) / steps) : 10;
    const data = { phase, status: phase, progress, current_step: step, total_steps: steps };
    work.events.push({ kind: "progress", timestamp: Date.now() / 1_000, data });
    work.updated += 1;
  }

  function end(work: Work, files: readonly string[], message?: string, stage = "generation"): void {
    const cancelled = stage === "cancelled";
    const errors = message === undefined ? [] : [{ message, task_index: 1, stage, cancelled }];
    const success = errors.length === 0;
    work.updated += 1;
    work.result = {
      success,
      cancelled,
      generated_files: files,
      errors,
      total_tasks: 1,
      artifacts: [],
    };
  }

  async function run(work: Work, settings: Readonly<Record<string, unknown>>): Promise<void> {
    const model = MODELS[String(settings.model_type)];
    const prompt = String(settings.prompt ?? "");
    const behaviour = readBehaviour(prompt);
    note(work, "loading_model", null, null);
    if (behaviour.slowStart) await delay(100);
    // Of a download only the program's own output tells.
    if (model?.missing) await delay(20 * stepMs);
    for (let step = 1; step <= behaviour.steps || (behaviour.hang && !released); step++) {
      await delay(stepMs);
      note(work, "inference", Math.min(step, behaviour.steps), behaviour.steps);
      if (work.cancelRequested) {
        stopped += 1;
        return end(work, [], "Generation was cancelled", "cancelled");
      }
    }
    if (model === undefined || prompt.includes("invalid")) {
      return end(work, [], "You must choose a valid resolution.", "validation");
    }
    if (behaviour.fail) return end(work, [], "Error in '/opt/wan/models/x.py': it exploded");
    if (behaviour.oom) {
      return end(work, [], "it is likely that you have unsufficient VRAM and you should reduce it");
    }
    if (behaviour.nullOutput) return end(work, []);
    count += 1;
    const path = `/srv/wan/outputs/made_${count}.${ENDINGS[model.makes]}`;
    const settled = { ...settings, seed: settings.seed === -1 ? 4_711 : settings.seed };
    const key = `${model.makes === "audio" ? "audio" : "visual"}:${String(count).padStart(12, "0")}`;
    gallery.set(key, { path, kind: model.makes, bytes: BYTES[model.makes], settings: settled });
    end(work, [path]);
  }

  return {
    get stopped() {
      return stopped;
    },
    submit(settings) {
      if ([...jobs.values()].some(({ result }) => result === null)) {
        throw new Error("WanGP session already has a generation in progress");
      }
      const id = crypto.randomUUID().replaceAll("-", "");
      const work: Work = { id, events: [], updated: 1, cancelRequested: false, result: null };
      jobs.set(id, work);
      void run(work, settings);
      return work;
    },
    find: (id) => jobs.get(String(id)),
    snapshot({ id, events, updated, cancelRequested, result }, eventLimit) {
      const made = new Set(result?.generated_files as readonly string[] | undefined);
      const items = [...gallery].filter(([, { path }]) => made.has(path));
      const limit = typeof eventLimit === "number" ? eventLimit : 20;
      return {
        job_id: id,
        done: result !== null,
        cancel_requested: cancelRequested,
        webui_submission_ready: false,
        webui_load_queue_token: "",
        created_at: 1,
        updated_at: updated,
        events: limit === 0 ? [] : events.slice(-limit),
        result: result && {
          ...result,
          gallery_items: items.map(([gallery_id, { path, kind, settings }]) => {
            return { gallery_id, path, media_type: kind, settings, in_gallery: true };
          }),
        },
      };
    },
    forget: () => jobs.clear(),
    release() {
      released = true;
    },
  };
}
