/**
 * Chance from a seed: the same seed gives the same draws on every machine and runtime.
 *
 * xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS
 * 47:4, 2021), its state filled by splitmix32, so that neighbouring seeds have nothing in common.
 */

export interface Random {
  /** Uniform in (0, 1); never 0, so that its logarithm is finite. */
  uniform(): number;
  /** A whole number from 0 to `count` - 1. */
  below(count: number): number;
  /** Standard normal. */
  normal(): number;
  /** Exponential with mean 1. */
  exponential(): number;
  /** Gamma with mean `shape` and scale 1. */
  gamma(shape: number): number;
  /** The index of one of the weights, each as likely as it is heavy. */
  weighted(weights: readonly number[]): number;
}

/** `stream` separates draws of one seed that must not disturb each other. */
export function createRandom(seed: number, stream = 0): Random {
  const next = xoshiro128(seed, stream);
  const uniform = () => (next() + 0.5) / 0x1_0000_0000;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return {
    uniform,
    below: (count) => Math.floor(uniform() * count),
    normal,
    exponential: () => -Math.log(uniform()),
    gamma: (shape) => gamma(shape, uniform, normal),
    weighted(weights) {
      let rest = uniform() * weights.reduce((sum, weight) => sum + weight, 0);
      const found = weights.findIndex((weight) => {
        rest -= weight;
        return rest < 0;
      });
      return found < 0 ? weights.length - 1 : found;
    },
  };
}

/** Marsaglia and Tsang, ACM TOMS 26:3, 2000; a shape below 1 by their power of a uniform draw. */
function gamma(shape: number, uniform: () => number, normal: () => number): number {
  if (shape < 1) return gamma(shape + 1, uniform, normal) * uniform() ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(uniform()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v;
  }
}

function xoshiro128(seed: number, stream: number): () => number {
  let filler = (seed ^ Math.imul(stream, 0x9e37_79b9)) >>> 0;
  const fill = () => {
    filler = (filler + 0x9e37_79b9) | 0;
    let z = filler ^ (filler >>> 16);
    z = Math.imul(z, 0x21f0_aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a_2d97);
    return z ^ (z >>> 15);
  };
  let a = fill();
  let b = fill();
  let c = fill();
  let d = fill();
  return () => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return result >>> 0;
  };
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
