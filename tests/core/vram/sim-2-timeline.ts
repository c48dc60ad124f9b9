/** Chance from a seed and events in the order of their times, for the random worlds of SIM-2. */

/** Something that happens at a time; of the same moment, what was planned first happens first. */
export interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly happen: () => void;
}

export interface Timeline {
  at(atMs: number, happen: () => void): void;
  /** When the next event is; Infinity when there is none. */
  nextMs(): number;
  take(): Event | undefined;
}

export function createTimeline(): Timeline {
  const heap: Event[] = [];
  let order = 0;
  return {
    at: (atMs, happen) => put(heap, { atMs, order: order++, happen }),
    nextMs: () => heap[0]?.atMs ?? Infinity,
    take: () => take(heap),
  };
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs;
}

/** A binary heap, the next event on top. */
function put(heap: Event[], event: Event): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (isBefore(heap[parent]!, event)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = event;
}

function take(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!first || !last || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
    if (isBefore(last, heap[child]!)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return first;
}

/** mulberry32: small, and the same everywhere. */
export function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
