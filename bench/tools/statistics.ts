/** Medians, percentiles, and how figures are written. */

/** The value below which `share` (0 to 1) of the values lie; NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1));
  return sorted[index] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** "12,345 (11,000 to 13,000)": the median, and the range over the rounds. */
export function spread(values: readonly number[], digits = 0): string {
  if (values.length === 0) return "–";
  const low = figure(Math.min(...values), digits);
  const high = figure(Math.max(...values), digits);
  return `${figure(median(values), digits)} (${low} to ${high})`;
}

export function figure(value: number, digits = 0): string {
  if (!Number.isFinite(value)) return "–";
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
