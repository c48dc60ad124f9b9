/** What the programs behind the signatures do, as far as a client can tell the difference. */
import { setTimeout as delay } from "node:timers/promises";
import { readBehaviour } from "switchyard/sdk/testing";
import { mp4, png, wav } from "../../core/artifacts/samples.ts";
import type { Call, Said } from "./queue.ts";
import type { Dependency, Signature } from "./signature.ts";

export interface ProgramOptions {
  readonly signature: Signature;
  readonly version: string;
  /** `launch(show_error=True)`: without it errors say nothing. */
  readonly showError: boolean;
  /** Milliseconds of a step. */
  readonly stepMs: number;
  /** Puts a file where clients may fetch it; gives its FileData. */
  readonly publish: (name: string, bytes: Uint8Array) => Said;
}

export interface Program {
  run(call: Call, say: (message: Said) => void): Promise<Said>;
  /** Ends what hangs. */
  release(): void;
  /** Somebody asked it to stop, by an endpoint of its own or by Gradio's cancel. */
  readonly wasStopped: boolean;
}

/** These show a bar; the others are silent to their end. */
const WITH_PROGRESS = new Set(["predict_full", "generate_song"]);
const SERVES_PAGE = /^(interrupt|abort|lambda|update|toggle|init|finalize|load|_prompt)/;
const SLOW_START_MS = 300;

class Stopped extends Error {}
/** `gr.Error`, which is shown in any case. */
class Shown extends Error {}

export function createProgram(options: ProgramOptions): Program {
  const { signature, version, showError, stepMs, publish } = options;
  /** AudioCraft has one flag for all of its users; the next run clears it. */
  let isInterrupted = false;
  let wasStopped = false;
  let releases = 0;
  /** YuEGP's State: songs, newest first, and whether to stop. */
  const states = new Map<string, { songs: Said[]; isAborted: boolean }>();

  function stateOf({ session }: Call): { songs: Said[]; isAborted: boolean } {
    const state = states.get(session) ?? { songs: [], isAborted: false };
    states.set(session, state);
    return state;
  }

  async function work(call: Call, dependency: Dependency, say: (message: Said) => void) {
    const text = call.data.filter((value) => typeof value === "string").join(" ");
    const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(text);
    const hasBar = WITH_PROGRESS.has(dependency.api_name);
    const before = releases;
    const look = (): void => {
      const isAsked = isInterrupted || stateOf(call).isAborted;
      if (isAsked || (dependency.generator && call.isCancelled)) {
        wasStopped = true;
        throw new Stopped();
      }
    };
    if (slowStart) await delay(SLOW_START_MS);
    // A thread may begin later than its turn, so that a flag that was set before is lost.
    if (dependency.api_name === "predict_full") isInterrupted = false;
    if (oom) throw new Error("CUDA out of memory. Tried to allocate 2.00 GiB");
    if (fail) throw new Error("the work failed, as it was asked to");
    for (let step = 1; step <= steps; step++) {
      look();
      const bar = { index: step, length: steps, unit: "steps", progress: null, desc: "steps" };
      if (hasBar) say({ msg: "progress", progress_data: [bar] });
      await delay(stepMs);
    }
    while (hang && releases === before) {
      look();
      await delay(5);
    }
    return {
      nothing: nullOutput,
      says: text.includes("error-text") ? "❌ Error: no model" : "done",
    };
  }

  async function compute(call: Call, say: (message: Said) => void): Promise<unknown[]> {
    const dependency = signature.dependencies[call.fn];
    if (dependency === undefined) throw new Error(`no function ${call.fn}`);
    const needed = dependency.inputs.length;
    if (call.data.length < needed) {
      const got = call.data.length;
      const what = "An event handler (run) didn't receive enough input values";
      throw new Error(`${what} (needed: ${needed}, got: ${got}).`);
    }
    const { api_name } = dependency;
    if (api_name === "interrupt") isInterrupted = true;
    if (api_name.startsWith("abort_generation")) stateOf(call).isAborted = true;
    if (api_name === "refresh_gallery") {
      const { songs } = stateOf(call);
      return [songs[0] ?? null, songs.length === 0 ? null : songs];
    }
    if (SERVES_PAGE.test(api_name)) {
      return dependency.outputs.map(() => null);
    }
    if (api_name === "predict_full") {
      // As the program does: null has no strip().
      if (typeof call.data[1] !== "string") throw new Error("'NoneType' has no attribute 'strip'");
    }
    if (api_name !== "generate_song") {
      const { nothing, says } = await work(call, dependency, say).catch((error: unknown) => {
        throw error instanceof Stopped ? new Shown("Interrupted.") : error;
      });
      const isBad = nothing || says !== "done";
      // MusicGen's last two come of a decoder that nobody asked for.
      const isUnasked = (at: number): boolean => dependency.outputs.length === 4 && at >= 2;
      return dependency.outputs.map((kind, at) => resultOf(kind, isBad || isUnasked(at), says));
    }
    const state = stateOf(call);
    state.isAborted = false;
    try {
      const { nothing } = await work(call, dependency, say);
      if (!nothing) state.songs.unshift(sound(`song-${state.songs.length + 1}.wav`));
      return ["Total Generation Time: 1s"];
    } catch (error) {
      if (error instanceof Stopped) return ["Song Generation Aborted"];
      throw error;
    }
  }

  const sound = (name: string): Said => publish(name, wav(0.2));

  function resultOf(kind: string, isEmpty: boolean, says: string): unknown {
    if (kind === "textbox") return says;
    if (isEmpty) return null;
    if (kind === "audio") return sound("output.wav");
    if (kind === "video") return { video: publish("output.mp4", mp4()), subtitles: null };
    if (kind === "gallery")
      return [{ image: publish("spectrogram.png", png(8, 8)), caption: null }];
    return null;
  }

  return {
    get wasStopped() {
      return wasStopped;
    },
    release() {
      releases += 1;
    },
    async run(call, say) {
      try {
        const data = await compute(call, say);
        const output = { data, is_generating: false, duration: 0.1, average_duration: 0.1 };
        return { success: true, output };
      } catch (error) {
        const isShown = showError || error instanceof Shown;
        const text = error instanceof Error ? error.message : String(error);
        const isOld = version.startsWith("4") && error instanceof Shown;
        const said = isOld ? `'${text}'` : text;
        return { success: false, output: { error: isShown ? said : null } };
      }
    },
  };
}
