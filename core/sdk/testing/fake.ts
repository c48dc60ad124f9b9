/** What a stand-in for a real server offers to tests, and the words in a prompt that steer it. */

export interface Fake {
  readonly url: string;
  /** "POST /prompt" for every request, in the order of their arrival. */
  readonly calls: readonly string[];
  /** It was told to stop its work, or its client went away while it worked. */
  readonly stopped: boolean;
  stop(): Promise<void>;
}

/** What the words in a prompt ask of a fake; every fake understands the same ones. */
export interface Behaviour {
  /** `steps=N`: how many pieces of progress, tokens or frames; 3 unless said. */
  readonly steps: number;
  /** `fail`: the server reports that the work failed. */
  readonly fail: boolean;
  /** `oom`: the server reports "CUDA out of memory". */
  readonly oom: boolean;
  /** `hang`: the work starts and never ends until it is stopped. */
  readonly hang: boolean;
  /** `null-output`: the server reports success and gives nothing. */
  readonly nullOutput: boolean;
  /** `slow-start`: a pause before the first sign of work, as when a model loads. */
  readonly slowStart: boolean;
}

/** Reads the steering words out of a prompt, for example "a cat, steps=5 slow-start". */
export function readBehaviour(prompt: string): Behaviour {
  const words = new Set(prompt.toLowerCase().split(/[\s,;.]+/));
  const steps = /\bsteps=(\d{1,4})\b/.exec(prompt)?.[1];
  return {
    steps: steps === undefined ? 3 : Number(steps),
    fail: words.has("fail"),
    oom: words.has("oom"),
    hang: words.has("hang"),
    nullOutput: words.has("null-output"),
    slowStart: words.has("slow-start"),
  };
}
