/** The measuring loops, the same for the job bus and for what it is compared with. */

export interface AddResult {
  readonly perSecond: number;
  /** Every add since the process began, the warm-up's too. */
  readonly total: number;
  /** Processor time of this process for one add. */
  readonly cpuUs: number;
}

const WARM_UP_SECONDS = 0.7;

/** Keeps `parallel` adds under way for so long; the warm-up before it does not count. */
export async function measureAdds(
  add: () => Promise<unknown>,
  seconds: number,
  parallel: number,
): Promise<AddResult> {
  const warm = await addFor(add, WARM_UP_SECONDS, parallel);
  const startMs = performance.now();
  const before = process.cpuUsage();
  const counted = await addFor(add, seconds, parallel);
  const elapsedS = (performance.now() - startMs) / 1_000;
  const { user, system } = process.cpuUsage(before);
  const cpuUs = (user + system) / counted;
  return { perSecond: counted / elapsedS, total: warm + counted, cpuUs };
}

async function addFor(
  add: () => Promise<unknown>,
  seconds: number,
  parallel: number,
): Promise<number> {
  const endMs = performance.now() + seconds * 1_000;
  let count = 0;
  const line = async () => {
    while (performance.now() < endMs) {
      await add();
      count++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, line));
  return count;
}

/**
 * Milliseconds from the call that enqueues to the start of the work, one job at a time at a fixed
 * pace: under backlog one would measure the backlog.
 */
export async function measurePickup(
  count: number,
  spacingMs: number,
  enqueue: (tag: string, onStart: (atMs: number) => void) => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = [];
  const warmUps = Math.ceil(count / 5);
  for (let index = -warmUps; index < count; index++) {
    const startMs = performance.now();
    const started = new Promise<number>((resolve) => {
      void enqueue(String(index), resolve);
    });
    const tookMs = (await started) - startMs;
    if (index >= 0) times.push(tookMs);
    const restMs = startMs + spacingMs - performance.now();
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  return times;
}
