/**
 * The synthetic mix of nine services on a 24 GB card, and traces drawn from it.
 *
 * The figures are documented assumptions, not measurements: YuE takes 360 s for 30 s of audio on an
 * RTX 4090 (its README), DiffRhythm at least 8 GB, AudioCraft medium 16 GB, Wan2GP from 6 GB; the
 * rest are round figures of the same order.
 */
import type { Job, Service } from "./format.ts";
import { createRandom, type Random } from "./prng.ts";

export interface MixService {
  readonly name: string;
  readonly vram_mib: number;
  readonly load_ms: number;
  /** Run times are lognormal: median times e to the power of sigma times a normal draw. */
  readonly medianMs: number;
  readonly sigma: number;
  /** Its share of all jobs. */
  readonly share: number;
  readonly slots: number;
}

/** When jobs come: at random, in bursts (`cv` is that of the gaps), or as they once came. */
export type Arrivals =
  | { readonly kind: "poisson" }
  | { readonly kind: "gamma"; readonly cv: number }
  /** Ascending; the first of them are taken and stretched to the wanted load. */
  | { readonly kind: "timestamps"; readonly timestampsMs: readonly number[] };

export interface TraceWish {
  readonly seed: number;
  readonly jobs: number;
  /** Pure work per unit of time and device, without loads. */
  readonly load: number;
  /** How likely a job is for the service of the one before it. */
  readonly stickiness: number;
  readonly arrivals: Arrivals;
  /** Arrivals are that many times as fast; 1 unless told. */
  readonly devices?: number;
  /** The nine services unless told. */
  readonly mix?: readonly MixService[];
}

/** The device that the mix is meant for. */
export const DEVICE_MIB = 24_576;

export const MIX: readonly MixService[] = [
  mixed("llm", 6_656, 4_000, 6_000, 0.8, 0.4, 4),
  mixed("embed", 1_229, 1_500, 150, 0.5, 0.2, 8),
  mixed("tts", 3_072, 10_000, 4_000, 0.6, 0.12, 1),
  mixed("image", 9_728, 12_000, 12_000, 0.6, 0.16, 1),
  mixed("music", 4_096, 8_000, 25_000, 0.5, 0.03, 1),
  mixed("audio", 7_680, 15_000, 15_000, 0.4, 0.04, 1),
  mixed("diffrhythm", 8_192, 20_000, 30_000, 0.3, 0.02, 1),
  mixed("yue", 20_480, 30_000, 360_000, 0.3, 0.01, 1),
  mixed("wan", 16_384, 40_000, 240_000, 0.5, 0.02, 1),
];

/** The mix as a scheduler sees it: of a run time it knows the mean. */
export function mixServices(mix: readonly MixService[] = MIX): Service[] {
  return mix.map(({ name, vram_mib, load_ms, slots, ...times }) => ({
    name,
    vram_mib,
    load_ms,
    run_ms: Math.round(meanMs(times)),
    slots,
  }));
}

/** The work that an average job of the mix brings, in ms. */
export function meanWorkMs(mix: readonly MixService[] = MIX): number {
  const shares = mix.reduce((sum, { share }) => sum + share, 0);
  return mix.reduce((sum, service) => sum + (service.share / shares) * meanMs(service), 0);
}

/**
 * Draws a trace, in order of arrival, in whole milliseconds. Arrivals, services and run times come
 * from separate streams of the seed: another load or pattern keeps the same work in the same order.
 */
export function generate(wish: TraceWish): Job[] {
  const mix = wish.mix ?? MIX;
  const gapMs = meanWorkMs(mix) / (wish.load * (wish.devices ?? 1));
  const at = arrivalTimes(wish.arrivals, wish.jobs, gapMs, createRandom(wish.seed, 1));
  const services = drawServices(mix, wish.jobs, wish.stickiness, createRandom(wish.seed, 2));
  const times = createRandom(wish.seed, 3);
  return services.map((service, index) => ({
    id: `${index + 1}`,
    at_ms: at[index]!,
    service: service.name,
    run_ms: drawRunMs(service, times),
  }));
}

/** Arrival times with a mean gap of `gapMs`, the first a gap after 0 (a trace's first at 0). */
export function arrivalTimes(
  arrivals: Arrivals,
  count: number,
  gapMs: number,
  random: Random,
): number[] {
  switch (arrivals.kind) {
    case "poisson":
      return runningSum(count, () => gapMs * random.exponential());
    case "gamma": {
      const shape = 1 / arrivals.cv ** 2;
      return runningSum(count, () => (gapMs / shape) * random.gamma(shape));
    }
    case "timestamps":
      return stretched(arrivals.timestampsMs, count, gapMs);
  }
}

/** Services by their shares, each with the given chance the one before it again. */
export function drawServices(
  mix: readonly MixService[],
  count: number,
  stickiness: number,
  random: Random,
): MixService[] {
  const shares = mix.map(({ share }) => share);
  const drawn: MixService[] = [];
  for (let index = 0; index < count; index++) {
    const stays = random.uniform() < stickiness && index > 0;
    drawn.push(stays ? drawn[index - 1]! : mix[random.weighted(shares)]!);
  }
  return drawn;
}

/** One run time of a service, at least 1 ms. */
export function drawRunMs(
  { medianMs, sigma }: Pick<MixService, "medianMs" | "sigma">,
  random: Random,
): number {
  return Math.max(1, Math.round(medianMs * Math.exp(sigma * random.normal())));
}

export function meanMs({ medianMs, sigma }: Pick<MixService, "medianMs" | "sigma">): number {
  return medianMs * Math.exp(sigma ** 2 / 2);
}

function runningSum(count: number, gap: () => number): number[] {
  let at = 0;
  return Array.from({ length: count }, () => {
    at += gap();
    return Math.round(at);
  });
}

/** Of a trace shorter than wanted, the gaps come again from the beginning. */
function stretched(timestampsMs: readonly number[], count: number, gapMs: number): number[] {
  const gaps = timestampsMs.slice(1).map((at, index) => at - timestampsMs[index]!);
  if (gaps.length === 0) throw new Error("A trace needs two timestamps at least.");
  const raw = [0];
  for (let index = 0; index + 1 < count; index++) {
    raw.push(raw[index]! + gaps[index % gaps.length]!);
  }
  const spanMs = raw[count - 1] ?? 0;
  if (spanMs === 0) return raw.slice(0, count).map(() => 0);
  const factor = (gapMs * (count - 1)) / spanMs;
  return raw.slice(0, count).map((at) => Math.round(at * factor));
}

function mixed(
  name: string,
  vram_mib: number,
  load_ms: number,
  medianMs: number,
  sigma: number,
  share: number,
  slots: number,
): MixService {
  return { name, vram_mib, load_ms, medianMs, sigma, share, slots };
}
