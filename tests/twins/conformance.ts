/** The conformance suite of a plugin against real Gradio servers of each version. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import type { AnyPlugin } from "switchyard/sdk";
import { type PluginCases, testPlugin } from "switchyard/sdk/testing";
import { MAJORS, type Major } from "./environments.ts";
import { type Signature, START_LIMIT_MS, type Twin, type Twins, twinsOf } from "./twin.ts";

export interface TwinCases extends Omit<PluginCases, "fake"> {
  readonly signature: Signature;
  /** Versions on which the program itself works; all unless said. */
  readonly majors?: readonly Major[];
}

/** One set of tests for each version. */
export function testOnTwins(
  plugin: AnyPlugin,
  { signature, majors = MAJORS, ...cases }: TwinCases,
): void {
  const title = `${plugin.name} conforms`;
  describeOnTwins(signature, majors, title, ({ start }) => {
    testPlugin(startingOver(plugin), { ...cases, fake: () => start(signature) });
  });
}

export interface TwinTest {
  readonly name: string;
  readonly signature: Signature;
  readonly majors?: readonly Major[];
  check(twin: Twin): Promise<void>;
}

/** A test of one's own, once for each version. */
export function testTwin({ name, signature, majors = MAJORS, check }: TwinTest): void {
  describeOnTwins(signature, majors, name, ({ start }) => {
    test(name, async () => {
      const twin = await start(signature);
      try {
        await check(twin);
      } finally {
        await twin.stop();
      }
    });
  });
}

/**
 * Gradio keeps no result for later, so its work starts over after a restart, also where the plugin
 * has another server whose work is found again.
 */
export function startingOver(plugin: AnyPlugin): AnyPlugin {
  const capabilities = Object.entries(plugin.capabilities).map(([kind, capability]) => {
    const { restart: _, ...rest } = Object(capability);
    return [kind, rest];
  });
  return { ...plugin, capabilities: Object.fromEntries(capabilities) };
}

const servers = new Map<Major, Twins>();

/** The servers of a version are one process for the whole file; its end is theirs. */
export function twinsFor(major: Major): Twins {
  const twins = servers.get(major) ?? twinsOf(major);
  servers.set(major, twins);
  if (twins.skip === undefined) beforeAll(() => twins.open(), START_LIMIT_MS);
  afterAll(() => twins.close());
  return twins;
}

function describeOnTwins(
  signature: Signature,
  majors: readonly Major[],
  title: string,
  register: (twins: Twins) => void,
): void {
  for (const major of majors) {
    const twins = twinsFor(major);
    describe(`${signature} on real Gradio ${twins.version}`, () => {
      if (twins.skip === undefined) register(twins);
      else test.skip(`${title} (${twins.skip})`, () => {});
    });
  }
}
