/** What the gateway's thread and the worker say to each other: one request, then its replies. */

export interface SpeakRequest {
  readonly kind: "speak";
  /** Cleaned and escaped: see text.ts. */
  readonly markup: string;
  /** The engine's identifier, with the variant if any: `gmw/en-US+f3`. */
  readonly voice: string;
  readonly wordsPerMinute: number;
  /** The engine's scale: 0 to 100, 50 is normal. */
  readonly pitch: number;
  /** Where to write the WAV file. */
  readonly path: string;
}

export type Request = SpeakRequest | { readonly kind: "list" };

export interface Spoken {
  readonly kind: "spoken";
  readonly sampleRateHz: number;
  readonly samples: number;
  /** The loudest sample, 0 to 32,768; 0 is silence. */
  readonly peak: number;
}

/** What the engine says about its voices: the source of voices.json. */
export interface Listed {
  readonly kind: "listed";
  readonly voices: readonly {
    readonly name: string;
    readonly identifier: string;
    /** The lowest priority is the best voice of that language. */
    readonly languages: readonly { readonly tag: string; readonly priority: number }[];
  }[];
  readonly variants: readonly { readonly name: string; readonly gender?: string }[];
}

export type Result = Spoken | Listed;

export type Reply =
  | { readonly kind: "progress"; readonly fraction: number }
  | { readonly kind: "failed"; readonly message: string }
  | Result;
