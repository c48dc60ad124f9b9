/** The part of the engine's package that the worker uses; the package has no types of its own. */
declare module "@echogarden/espeak-ng-emscripten" {
  interface EngineOptions {
    /** Gives the content of the package's data file; without it the package looks for the file. */
    getPreloadedPackage(): ArrayBufferLike;
    print(line: string): void;
    printErr(line: string): void;
  }

  interface Engine {
    /** 0 when the voice was found. Takes an identifier, also with a variant: `gmw/en-US+f3`. */
    set_voice(identifier: string): number;
    /** Words per minute. */
    set_rate(rate: number): void;
    /** 0 to 100; 50 is the voice's own pitch. */
    set_pitch(pitch: number): void;
    /** In Hz. */
    get_samplerate(): number;
    /** Returns when all is said; `hear` stops it by returning true. */
    synthesize(markup: string, hear: (samples: Int16Array, events: EngineEvent[]) => boolean): void;
    list_voices(): readonly {
      readonly name: string;
      readonly identifier: string;
      readonly languages: readonly { readonly name: string; readonly priority: number }[];
    }[];
  }

  interface EngineEvent {
    readonly type: string;
    /** In characters of the markup, from 1. */
    readonly text_position: number;
  }

  interface EngineModule {
    readonly eSpeakNGWorker: new () => Engine;
    /** The file system inside the engine. */
    readonly FS: {
      readdir(path: string): string[];
      readFile(path: string, options: { encoding: "utf8" }): string;
    };
  }

  export default function load(options: EngineOptions): Promise<EngineModule>;
}
