import { describe, expect, test } from "bun:test";
import { joinWav, readWav } from "switchyard/sdk";

interface Parts {
  readonly samples: number[];
  readonly rateHz?: number;
  readonly channels?: number;
  /** What the header says of the length; the truth unless said. */
  readonly said?: number;
  /** A chunk of notes before the samples, of so many bytes. */
  readonly notes?: number;
}

function wav({ samples, rateHz = 8_000, channels = 1, said, notes }: Parts): Blob {
  const text = (word: string) => [...word].map((letter) => letter.charCodeAt(0));
  const u32 = (value: number) => [...new Uint8Array(new Uint32Array([value]).buffer)];
  const u16 = (value: number) => [...new Uint8Array(new Uint16Array([value]).buffer)];
  const data = samples.flatMap((sample) => u16(sample));
  const format = [1, channels]
    .flatMap(u16)
    .concat([rateHz, rateHz * 2 * channels].flatMap(u32), [2 * channels, 16].flatMap(u16));
  const list =
    notes === undefined
      ? []
      : [...text("LIST"), ...u32(notes), ...new Array<number>(notes + (notes % 2)).fill(65)];
  const body = [
    ...text("WAVE"),
    ...text("fmt "),
    ...u32(16),
    ...format,
    ...list,
    ...text("data"),
    ...u32(said ?? data.length),
    ...data,
  ];
  return new Blob([Uint8Array.from([...text("RIFF"), ...u32(body.length), ...body])]);
}

const samplesOf = async (file: Blob): Promise<number[]> => {
  const read = await readWav(file);
  return [...new Uint16Array((await read?.samples.arrayBuffer()) ?? new ArrayBuffer(0))];
};

describe("readWav", () => {
  test("tells rate, channels and length", async () => {
    const read = await readWav(wav({ samples: new Array(4_000).fill(7) }));
    expect(read).toMatchObject({ sampleRateHz: 8_000, channels: 1, seconds: 0.5 });
  });

  test("finds the samples behind other chunks, also of an odd length", async () => {
    expect(await samplesOf(wav({ samples: [1, 2, 3], notes: 5 }))).toEqual([1, 2, 3]);
  });

  test.each([0, 0xffff_ffff])("reads to the end when the header says %p", async (said) => {
    expect(await samplesOf(wav({ samples: [4, 5], said }))).toEqual([4, 5]);
  });

  test("knows what is no WAV file", async () => {
    expect(await readWav(new Blob(["ID3 not a wave at all"]))).toBeUndefined();
    expect(await readWav(new Blob([]))).toBeUndefined();
    expect(await readWav(wav({ samples: [1] }).slice(0, 30))).toBeUndefined();
  });
});

describe("joinWav", () => {
  test("plays the files one after the other", async () => {
    const joined = await joinWav([
      wav({ samples: [1, 2] }),
      wav({ samples: [3], notes: 4 }),
      wav({ samples: [4, 5, 6], said: 0xffff_ffff }),
    ]);
    expect(await samplesOf(joined)).toEqual([1, 2, 3, 4, 5, 6]);
    const head = new DataView(await joined.arrayBuffer());
    expect(head.getUint32(4, true)).toBe(joined.size - 8);
    expect(head.getUint32(40, true)).toBe(12);
  });

  test("refuses files of different formats, and says what differs", async () => {
    const files = [wav({ samples: [1] }), wav({ samples: [1], rateHz: 16_000, channels: 2 })];
    const error = await joinWav(files).catch((cause) => cause);
    expect(error.code).toBe("BACKEND_BAD_OUTPUT");
    expect(error.message).toContain("part 2 has 16000 Hz and 2 channels, part 1 has 8000 Hz");
  });

  test("refuses what is no WAV file", async () => {
    const error = await joinWav([wav({ samples: [1] }), new Blob(["OggS"])]).catch((it) => it);
    expect(error.message).toContain("part 2 is no WAV file");
  });
});
