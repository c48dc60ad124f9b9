/** What both servers run, and what is known of it. */
import { setTimeout as delay } from "node:timers/promises";
import { readBehaviour } from "switchyard/sdk/testing";
import { wavBytes } from "../yue/sound.ts";

/** What arrived with a submission; of files the name. */
export type Submission = Readonly<Record<string, string>>;

export interface Work {
  /** The song, or undefined for none; throws as the model does. */
  run(style: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  release(): void;
  readonly working: number;
  readonly mostAtOnce: number;
}

/** A server of one kind, behind its port. */
export interface Behind {
  answer(request: Request, url: URL): Promise<Response>;
  restart(): void;
}

export function createWork(stepMs: number): Work {
  let working = 0;
  let mostAtOnce = 0;
  let free: (() => void)[] = [];
  return {
    get working() {
      return working;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    release() {
      for (const release of free) release();
      free = [];
    },
    async run(style) {
      const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(style);
      working += 1;
      mostAtOnce = Math.max(mostAtOnce, working);
      try {
        if (slowStart) await delay(200);
        if (hang) await new Promise<void>((done) => free.push(done));
        await delay(steps * stepMs);
        if (oom) throw new Error("CUDA out of memory. Tried to allocate 2.00 GiB");
        if (fail) throw new Error("the frames do not fit");
        return nullOutput ? undefined : wavBytes();
      } finally {
        working -= 1;
      }
    },
  };
}

/** The fields of a multipart form; of a file its name, and its text under `<field>.text`. */
export async function readForm(request: Request): Promise<Record<string, string>> {
  const fields: Record<string, string> = {};
  for (const [name, value] of await request.formData()) {
    if (typeof value === "string") fields[name] = value;
    else {
      fields[name] = value.name;
      fields[`${name}.text`] = await value.text();
    }
  }
  return fields;
}

/** What decides how the model behaves: the style in words, or what the recording says. */
export function styleOf(fields: Submission): string {
  return fields.ref_prompt ?? fields["ref_audio.text"] ?? "";
}
