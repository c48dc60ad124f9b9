/** Finds the name that a person probably meant, for "did you mean" in messages. */

/** The candidate closest to `name`, or undefined when none is close enough to be a slip. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(plain(name), plain(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  const { length } = plain(name);
  const tolerated = length < 3 ? 0 : Math.floor(length / 3);
  if (bestDistance <= tolerated) return best;
  return [...candidates].find((candidate) => isStartOf(plain(name), plain(candidate)));
}

/** `warning` for `warn`, `warn` for `warning`. */
const isStartOf = (one: string, other: string): boolean =>
  Math.min(one.length, other.length) >= 3 && (one.startsWith(other) || other.startsWith(one));

/** Least number of letters inserted, removed, replaced, or swapped with their neighbour. */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let cost = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (same ? 0 : 1),
      );
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && swapped) cost = Math.min(cost, at(beforeLast, column - 2) + 1);
      current.push(cost);
    }
    [beforeLast, last] = [last, current];
  }
  return at(last, to.length);
}

const at = (row: readonly number[], column: number): number =>
  row[column] ?? Number.POSITIVE_INFINITY;

/** `timeoutMs`, `timeout-ms` and `TIMEOUT_MS` are the same slip of style, not three letters. */
const plain = (name: string): string => name.toLowerCase().replace(/[-_\s]/g, "");
