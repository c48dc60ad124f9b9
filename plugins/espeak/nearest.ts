/** The names most like a wrong one, for a message that helps. */
import { editDistance } from "switchyard/sdk";

/**
 * At most `count` names: those that contain the wrong one first, then those with fewest
 * differences.
 */
export function nearest(wrong: string, names: readonly string[], count = 5): readonly string[] {
  const wanted = wrong.toLowerCase();
  return [...new Set(names)]
    .map((name) => ({ name, score: score(wanted, name.toLowerCase()) }))
    .sort((a, b) => a.score - b.score)
    .slice(0, count)
    .map(({ name }) => name);
}

function score(wanted: string, name: string): number {
  return name.includes(wanted) ? name.length / 1_000 : editDistance(wanted, name);
}
