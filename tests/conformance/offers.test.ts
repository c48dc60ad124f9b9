/** The suite's rules about what a backend says that it can do: each is broken, and then says so. */
import { describe, expect, test } from "bun:test";
import { type AnyCapability, type AnyPlugin, t } from "switchyard/sdk";
import { conformanceRules, type PluginCases } from "switchyard/sdk/testing";
import good from "../fixtures/plugins/band/plugin.ts";

const KIND = "music.generate";
const FIELDS = ["duration_seconds"];
const cases: PluginCases = { config: { fields: FIELDS }, hookMs: 500 };
let chance = 0;

const base = (change: Partial<AnyPlugin>): AnyPlugin => ({ ...good, ...change }) as AnyPlugin;
const work = (change: Partial<AnyCapability>): AnyPlugin =>
  base({
    capabilities: {
      ...good.capabilities,
      [KIND]: { ...(good.capabilities[KIND] as AnyCapability), ...change },
    },
  });

async function broken(plugin: AnyPlugin, given = cases): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, skip, check } of conformanceRules(plugin, given)) {
    const isOurs = /offers cap|takes fields|audio format|declares options/.test(name);
    if (skip === undefined && isOurs) await check().catch(() => failed.push(name));
  }
  return failed;
}

test("a band that says what it can do breaks no rule, whatever its settings take", async () => {
  expect(await broken(good as AnyPlugin)).toEqual([]);
  expect(await broken(good as AnyPlugin, {})).toEqual([]);
  const rain = { config: { kinds: ["audio.generate"] } };
  expect(conformanceRules(good as AnyPlugin, rain).some(({ name }) => name.startsWith(KIND))).toBe(
    false,
  );
});

describe("the suite catches", () => {
  const offers = "offers capabilities that it has, always the same for the same settings";
  const takes = `${KIND}: takes fields of its input, those of its example among them`;
  const formats = `${KIND}: can be asked for an audio format`;
  const options = `${KIND}: declares options that its example keeps to`;
  const wrong: readonly [string, string, AnyPlugin][] = [
    ["a capability that is not there", offers, base({ offers: () => [KIND, "tea.brew"] })],
    [
      "offers by chance",
      offers,
      base({ offers: () => (++chance % 2 ? [KIND] : [KIND, "audio.generate"]) }),
    ],
    ["a field that is not there", takes, work({ takes: () => ["prompt", "tea", "format"] })],
    ["fields by chance", takes, work({ takes: () => ["prompt", ...(++chance % 2 ? [] : FIELDS)] })],
    ["a required field that is not taken", takes, work({ takes: () => ["format"] })],
    ["no format at all", formats, work({ formats: [] })],
    ["a format that nobody knows", formats, work({ formats: ["aiff" as never] })],
    ["a format named twice", formats, work({ formats: ["wav", "wav"] })],
    ["no field for the format", formats, work({ input: t.Object({ prompt: t.String() }) })],
    [
      "a format narrowed to what the server makes",
      formats,
      work({ input: t.Object({ prompt: t.String(), format: t.Literal("wav"), options: t.Any() }) }),
    ],
    ["an option that is no schema", options, work({ options: async () => ({ a: 5 as never }) })],
    [
      "an option whose default does not fit it",
      options,
      work({ options: async () => ({ tempo: t.Integer({ maximum: 9, default: 10 }) }) }),
    ],
    [
      "an example with an option that is not declared",
      options,
      work({ example: { prompt: "x", options: { tea: 1 } } }),
    ],
    [
      "an example with an option out of its limits",
      options,
      work({ example: { prompt: "x", options: { tempo: 900 } } }),
    ],
    ["options that never come", options, work({ options: () => new Promise(() => {}) })],
    [
      "options without a field for them",
      options,
      work({
        input: t.Object({
          prompt: t.String(),
          format: good.capabilities[KIND].input.properties.format,
        }),
      }),
    ],
  ];
  for (const [what, rule, plugin] of wrong) {
    test(what, async () => {
      expect(await broken(plugin)).toContain(rule);
    });
  }
});
