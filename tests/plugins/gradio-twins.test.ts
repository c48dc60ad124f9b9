/**
 * What the Gradio adapter takes for granted, asked of real Gradio servers of three versions whose
 * interfaces are those that were captured (tests/twins), and of their stand-in: so that the stand-in
 * cannot become something else than Gradio.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SIGNATURES, type SignatureName, startFakeGradio } from "../fakes/gradio.ts";
import { eventually } from "../gateway.ts";
import { twinsFor } from "../twins/conformance.ts";
import { MAJORS } from "../twins/environments.ts";
import { type Event, speakTo } from "../twins/speak.ts";

/** A server, and how much it computes now. */
interface Subject {
  readonly url: string;
  running(): number;
  /** Ends what hangs. */
  release(): unknown;
  stop(): Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly version: string;
  readonly skip?: string | undefined;
  start(signature: SignatureName): Promise<Subject>;
}

const FOLDER = join(import.meta.dir, "..", "fixtures", "gradio");

const kinds = MAJORS.flatMap((major): Kind[] => {
  const { version, skip, start } = twinsFor(major);
  return [
    {
      name: `real Gradio ${version}`,
      version,
      skip,
      async start(signature) {
        const twin = await start(signature);
        return { ...twin, running: () => twin.runs.length - twin.ended };
      },
    },
    {
      name: `the stand-in for Gradio ${version}`,
      version,
      async start(signature) {
        const fake = await startFakeGradio({ signature, gradio: version });
        return { ...fake, running: () => fake.queue.running };
      },
    },
  ];
});

/** What of a parameter a client can depend on; labels of unnamed inputs are numbers of the page. */
const facts = ({ parameter_name, component, parameter_default, type, label }: any) => ({
  parameter_name,
  component,
  // A file of the program's own, which the twin does not have.
  parameter_default: component === "Audio" ? null : parameter_default,
  label: /^(parameter|value)_\d+$/.test(label) ? "none" : label,
  enum: type.enum,
  range: component === "Slider" ? type.description : undefined,
});

const isEnd = ({ msg }: Event): boolean => msg === "process_completed";

test("every captured signature is known to the twins and to the stand-in", () => {
  const files = readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ""));
  expect(files.sort()).toEqual([...SIGNATURES].sort());
});

for (const { name: kind, version, skip, start } of kinds) {
  const check = (
    name: string,
    signature: SignatureName,
    work: (subject: Subject, gradio: Awaited<ReturnType<typeof speakTo>>) => Promise<void>,
  ): void => {
    // As in "needs Gradio 4.44.1 in Python: …".
    if (skip !== undefined) test.skip(`${name} (${skip})`, () => {});
    else
      test(name, async () => {
        const subject = await start(signature);
        try {
          await work(subject, await speakTo(subject.url));
        } finally {
          await subject.stop();
        }
      });
  };

  describe(kind, () => {
    for (const signature of SIGNATURES) {
      check(`declares what was captured of ${signature}`, signature, async (_subject, gradio) => {
        const captured = JSON.parse(readFileSync(join(FOLDER, `${signature}.json`), "utf8"));
        const { config, info, dependency, kindsOf } = gradio;
        expect(config.version).toBe(version);
        const expected = captured.info.named_endpoints;
        expect(Object.keys(info.named_endpoints).sort()).toEqual(Object.keys(expected).sort());
        for (const [endpoint, { parameters, returns }] of Object.entries<any>(expected)) {
          const found = info.named_endpoints[endpoint];
          expect(found.parameters.map(facts)).toEqual(parameters.map(facts));
          const components = (list: any[]) => list.map(({ component }) => component);
          expect(components(found.returns)).toEqual(components(returns));
        }
        for (const { api_name, inputs, outputs, generator } of captured.dependencies) {
          if (expected[`/${api_name}`] === undefined) continue;
          const found = dependency(`/${api_name}`);
          expect(kindsOf(found.inputs)).toEqual(inputs);
          expect(kindsOf(found.outputs)).toEqual(outputs);
          expect(found.types.generator).toBe(generator);
        }
      });
    }

    check("gives the whole result at the end", "stable-audio-3", async ({ url }, gradio) => {
      const values = gradio.arguments("/generate", { prompt: "rain", seconds_total: 1 });
      await gradio.join("/generate", values, "one");
      const events = await gradio.events("one");
      const { success, output } = events.find(isEnd)!;
      expect(success).toBe(true);
      const [sound, pictures] = output!.data!;
      expect(pictures).toHaveLength(1);
      const file = await fetch(`${url}${gradio.prefix}/file=${sound.path}`);
      const bytes = new Uint8Array(await file.arrayBuffer());
      expect(new TextDecoder().decode(bytes.slice(0, 4))).toBe("RIFF");
      expect(events.at(-1)!.msg).toBe("close_stream");
    });

    check("fails without a State's null", "stable-audio-3", async (subject, gradio) => {
      const values = gradio.arguments("/generate", { prompt: "hang" });
      await gradio.join("/generate", values.slice(0, -2), "short");
      const { success, output } = (await gradio.events("short")).find(isEnd)!;
      expect(success).toBe(false);
      expect(output!.data).toBeUndefined();
      expect(subject.running()).toBe(0);
    });

    check(
      "lets a cancelled function go on, and starts the next one beside it",
      "stable-audio-3",
      async (subject, gradio) => {
        const hang = gradio.arguments("/generate", { prompt: "hang" });
        const event = await gradio.join("/generate", hang, "first");
        const first = gradio.events("first");
        await eventually("the first one runs", () => subject.running() === 1);
        expect(await gradio.cancel("/generate", "first", event)).toEqual({ success: true });
        const { success, output } = (await first).find(isEnd)!;
        expect({ success, data: output?.data }).toEqual({ success: true, data: undefined });
        await gradio.join("/generate", hang, "second");
        const second = gradio.events("second");
        await eventually("both run", () => subject.running() === 2);
        await subject.release();
        expect((await second).find(isEnd)!.success).toBe(true);
      },
    );

    check(
      "loses the result with the stream, and keeps the turn of the function that goes on",
      "stable-audio-3",
      async (subject, gradio) => {
        const hang = gradio.arguments("/generate", { prompt: "hang" });
        await gradio.join("/generate", hang, "lost");
        const away = new AbortController();
        const lost = gradio.events("lost", away.signal);
        await eventually("it runs", () => subject.running() === 1);
        away.abort();
        await lost;
        // Without any value it fails at once, as soon as it has its turn.
        await gradio.join("/generate", [], "next");
        let hasEnded = false;
        const next = gradio.events("next").finally(() => {
          hasEnded = true;
        });
        await eventually("the next one waits", async () => {
          const status: any = await (
            await fetch(`${subject.url}${gradio.prefix}/queue/status`)
          ).json();
          return status.queue_size === 1;
        });
        expect({ running: subject.running(), hasEnded }).toEqual({ running: 1, hasEnded: false });
        await subject.release();
        expect((await next).find(isEnd)!.success).toBe(false);
      },
    );

    check(
      "keeps State within one session, and aborts there while the work runs",
      "yuegp-v3",
      async (subject, gradio) => {
        const song = gradio.arguments("/generate_song", { genres_input: "pop" });
        await gradio.join("/generate_song", song, "singer");
        await gradio.events("singer");
        const songsOf = async (session: string) => {
          const plain = gradio.arguments("/refresh_gallery", {});
          await gradio.join("/refresh_gallery", plain, session);
          return (await gradio.events(session)).find(isEnd)!.output!.data![1] ?? [];
        };
        expect(await songsOf("singer")).toHaveLength(1);
        expect(await songsOf("somebody else")).toHaveLength(0);
        const hang = gradio.arguments("/generate_song", { genres_input: "hang" });
        await gradio.join("/generate_song", hang, "singer");
        const events = gradio.events("singer");
        await eventually("it runs", () => subject.running() === 1);
        await gradio.join("/abort_generation", gradio.arguments("/abort_generation", {}), "singer");
        const texts = (await events).flatMap(({ output }) => output?.data ?? []).map(String);
        expect(texts.some((text) => text.startsWith("Song Generation Aborted"))).toBe(true);
      },
    );

    for (const words of ["fail", "oom"]) {
      check(
        `says why it failed when it is told to show errors: ${words}`,
        "audiocraft-musicgen",
        async (_subject, gradio) => {
          const values = { text: words, model_path: "" };
          await gradio.join("/predict_full", gradio.arguments("/predict_full", values), "one");
          const { success, output } = (await gradio.events("one")).find(isEnd)!;
          expect(success).toBe(false);
          expect(output!.error).toMatch(words === "oom" ? /CUDA out of memory/ : /./);
        },
      );
    }

    check(
      "fails when a path is null that the program trims",
      "audiocraft-magnet",
      async (_subject, gradio) => {
        const values = { text: "x", model_path: null };
        await gradio.join("/predict_full", gradio.arguments("/predict_full", values), "one");
        expect((await gradio.events("one")).find(isEnd)!.success).toBe(false);
      },
    );
  });
}
