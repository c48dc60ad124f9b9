/** What the tests of the espeak plugin share: one way to run a job, and an ear for WAV files. */
import type { Context, Static } from "../../core/sdk/mod.ts";
import { createTestContext, createTestJob } from "../../core/sdk/testing/mod.ts";
import type { Settings, speechInput } from "../../plugins/espeak/input.ts";
import plugin from "../../plugins/espeak/plugin.ts";

export const speech = plugin.capabilities["speech.synthesize"];

export type Input = Static<typeof speechInput>;

export function contextOf(settings: Partial<Settings> = {}): Context<Settings> {
  const context = createTestContext(plugin, undefined, { idle_timeout_ms: 200, ...settings });
  return { ...context, config: { ...context.config } as Settings };
}

export function inputOf(input: Partial<Input> & { text: string }): Input {
  return { speed: 1, ...input };
}

export interface Heard {
  readonly output: unknown;
  readonly file: Uint8Array;
  readonly artifact: {
    readonly name: string;
    readonly mediaType: string;
    readonly metadata: Record<string, unknown>;
  };
  readonly progress: readonly number[];
}

/** Runs the capability once, as the kernel would, and returns what it stored. */
export async function say(
  input: Partial<Input> & { text: string },
  context: Context<Settings> = contextOf(),
  signal?: AbortSignal,
): Promise<Heard> {
  const job = createTestJob(inputOf(input));
  const output = await speech.run({ ...job, signal: signal ?? job.signal }, context);
  const [artifact] = job.artifacts;
  if (artifact === undefined || job.artifacts.length > 1 || job.storing > 0) {
    throw new Error(`expected one artifact, got ${job.artifacts.length}`);
  }
  const progress = job.progressed.map(({ fraction }) => fraction ?? Number.NaN);
  return { output, file: artifact.bytes, artifact, progress };
}

export interface Wav {
  readonly sampleRateHz: number;
  readonly samples: Int16Array;
  readonly seconds: number;
}

/** Reads a WAV file as a strict player would: every size and every field must be right. */
export function readWav(file: Uint8Array): Wav {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const tag = (offset: number): string =>
    new TextDecoder().decode(file.subarray(offset, offset + 4));
  const fields = {
    tags: [tag(0), tag(8), tag(12), tag(36)].join("|"),
    riffBytes: view.getUint32(4, true),
    formatBytes: view.getUint32(16, true),
    format: view.getUint16(20, true),
    channels: view.getUint16(22, true),
    bytesPerSecond: view.getUint32(28, true),
    bytesPerFrame: view.getUint16(32, true),
    bitsPerSample: view.getUint16(34, true),
    dataBytes: view.getUint32(40, true),
  };
  const sampleRateHz = view.getUint32(24, true);
  const expected = {
    tags: "RIFF|WAVE|fmt |data",
    riffBytes: file.length - 8,
    formatBytes: 16,
    format: 1,
    channels: 1,
    bytesPerSecond: sampleRateHz * 2,
    bytesPerFrame: 2,
    bitsPerSample: 16,
    dataBytes: file.length - 44,
  };
  if (JSON.stringify(fields) !== JSON.stringify(expected)) {
    throw new Error(`not a right header: ${JSON.stringify(fields)}`);
  }
  const samples = new Int16Array(file.slice(44).buffer);
  return { sampleRateHz, samples, seconds: samples.length / sampleRateHz };
}

/** Root mean square; full scale is 32,768. */
export function loudness(samples: Int16Array): number {
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

/** The median fundamental frequency of the voiced parts, in Hz, by autocorrelation. */
export function fundamentalHz({ samples, sampleRateHz }: Wav): number {
  const frame = 2048;
  const found: number[] = [];
  for (let start = 0; start + 2 * frame < samples.length; start += frame) {
    const strengths: { lag: number; strength: number }[] = [];
    for (let lag = Math.floor(sampleRateHz / 500); lag < sampleRateHz / 40; lag += 1) {
      strengths.push({ lag, strength: correlation(samples, start, frame, lag) });
    }
    const best = Math.max(...strengths.map(({ strength }) => strength));
    // A period repeats: the first lag that is nearly the best is the period itself.
    const period = strengths.find(({ strength }) => strength > 0.9 * best);
    if (best > 0.6 && period !== undefined) found.push(sampleRateHz / period.lag);
  }
  return found.sort((left, right) => left - right)[Math.floor(found.length / 2)] ?? 0;
}

function correlation(samples: Int16Array, start: number, frame: number, lag: number): number {
  let product = 0;
  let energy = 1;
  let shifted = 1;
  for (let index = start; index < start + frame; index += 1) {
    const one = samples[index] ?? 0;
    const other = samples[index + lag] ?? 0;
    product += one * other;
    energy += one * one;
    shifted += other * other;
  }
  return product / Math.sqrt(energy * shifted);
}
