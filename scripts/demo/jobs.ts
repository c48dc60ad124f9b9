/** A mix of jobs as a small studio sends it: mostly text, some pictures, now and then a large one. */
import { setTimeout as delay } from "node:timers/promises";
import type { Demo } from "./yard.ts";

export interface Sending {
  readonly counts: { readonly sent: number; readonly refused: number };
  readonly ended: Promise<void>;
}

interface Kind {
  /** How often it comes, beside the others. */
  readonly weight: number;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const image = (weight: number, body: Record<string, unknown>): Kind => ({
  weight,
  path: "/generate/image",
  body: { prompt: "a signal box in the snow", ...body },
});
const text = (weight: number, model: string, tokens: number): Kind => ({
  weight,
  path: "/llm/generate",
  body: { prompt: `Tell me about trains. steps=${tokens}`, max_tokens: 2 * tokens, model },
});

const MIX: readonly Kind[] = [
  text(6, "llama3.1:8b", 40),
  text(3, "qwen3:8b", 80),
  image(4, { width: 1024, height: 1024, steps: 25 }),
  image(2, { workflow: "z-image-turbo", steps: 8 }),
  image(1, { workflow: "flux-dev", steps: 20 }),
  { weight: 3, path: "/llm/embed", body: { texts: ["A switch decides the track."] } },
];

/** With more waiting than this nothing is sent: the queue shall be readable. */
const MAX_WAITING = 30;

/** At random moments, `everyMs` apart on the average, until the signal. */
export function sendJobs(demo: Demo, everyMs: number, signal: AbortSignal): Sending {
  const counts = { sent: 0, refused: 0 };
  const go = async (): Promise<void> => {
    while (!signal.aborted) {
      const pauseMs = Math.min(10 * everyMs, -Math.log(1 - Math.random()) * everyMs);
      await delay(pauseMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await sendOne(demo, counts).catch(() => {
        counts.refused += 1;
      });
    }
  };
  return { counts, ended: go() };
}

async function sendOne(demo: Demo, counts: { sent: number; refused: number }): Promise<void> {
  const waiting = `/jobs?status=pending&limit=${MAX_WAITING}`;
  const { data } = await demo.ask<{ items: unknown[] }>("GET", waiting);
  if (data.items.length >= MAX_WAITING) return;
  const { path, body } = chosen(Math.random());
  const { status } = await demo.ask("POST", path, body);
  counts[status === 202 ? "sent" : "refused"] += 1;
}

function chosen(chance: number): Kind {
  const total = MIX.reduce((sum, { weight }) => sum + weight, 0);
  let left = chance * total;
  for (const kind of MIX) {
    left -= kind.weight;
    if (left < 0) return kind;
  }
  return MIX[0] as Kind;
}
