/** What the tests of AllTalk share: a fake with a context, and a way to speak to it. */
import { Value } from "@sinclair/typebox/value";
import { createTestContext, createTestJob, type TestJobOptions } from "switchyard/sdk/testing";
import alltalk from "../../plugins/alltalk/plugin.ts";
import { type FakeAllTalk, type FakeAllTalkOptions, startFakeAllTalk } from "../fakes/alltalk.ts";

export const speech = alltalk.capabilities["speech.synthesize"];
type Speech = Parameters<typeof speech.run>[0]["input"];
type Context = Parameters<typeof speech.run>[1];

export interface Setting {
  readonly fake: FakeAllTalk;
  readonly ctx: Context;
  job(input: Partial<Speech>, options?: TestJobOptions): ReturnType<typeof createTestJob<Speech>>;
  say(input: Partial<Speech>): Promise<Record<string, unknown>>;
  /** What the run throws. */
  fails(input: Partial<Speech>): Promise<{ readonly code: string; readonly message: string }>;
}

const job: Setting["job"] = (input, options) => {
  const plain: unknown = Value.Default(speech.input, { text: "Mind the gap.", ...input });
  return createTestJob(plain as Speech, options);
};

/** Runs a test with a fake of its own. */
export async function withAllTalk(
  options: FakeAllTalkOptions & { readonly config?: Record<string, unknown> },
  test: (setting: Setting) => Promise<void>,
): Promise<void> {
  const { config, ...fakeOptions } = options;
  const fake = await startFakeAllTalk(fakeOptions);
  const ctx = createTestContext(alltalk, fake.url, config);
  const run = async (input: Partial<Speech>) => speech.run(job(input), ctx);
  try {
    await test({
      fake,
      ctx,
      job,
      say: async (input) => Object(await run(input)),
      fails: (input) => run(input).then(() => Object({ code: "none" }), Object),
    });
  } finally {
    await fake.stop();
  }
}

/** Settles when `seen` is true; fails after five seconds. */
export async function until(seen: () => boolean, what: string): Promise<void> {
  for (let end = performance.now() + 5_000; !seen(); ) {
    if (performance.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
