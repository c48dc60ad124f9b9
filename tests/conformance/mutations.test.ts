/**
 * Tests of the conformance suite itself: it accepts a good plugin, and every way of being wrong is
 * caught by the rule that names it. The good plugin is the one that `new:plugin` writes.
 */
import { describe, expect, test } from "bun:test";
import { type AnyPlugin, BackendError, type Job, t } from "switchyard/sdk";
import { conformanceRules, type Fake, type PluginCases } from "switchyard/sdk/testing";
import { startFakeTemplateServer } from "../../scripts/new-plugin/typescript/fake.ts";
import good from "../../scripts/new-plugin/typescript/plugin.ts";
import { MUTATIONS } from "./mutations.ts";

const fake = (): Promise<Fake> => startFakeTemplateServer({ stepMs: 2 });
const cases: PluginCases = { fake, settleMs: 400, runMs: 3_000, hookMs: 800 };

async function broken(plugin: AnyPlugin, only?: string, given = cases): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, skip, check } of conformanceRules(plugin, given)) {
    if (skip !== undefined || (only !== undefined && name !== only)) continue;
    await check().catch(() => failed.push(name));
  }
  return failed;
}

test("a good plugin breaks no rule", async () => {
  expect(await broken(good)).toEqual([]);
}, 30_000);

describe("the suite catches", () => {
  for (const { wrong, rule, plugin } of MUTATIONS) {
    test(`${wrong}: "${rule}"`, async () => {
      const names = conformanceRules(plugin, cases).map(({ name }) => name);
      expect(names).toContain(rule);
      expect(await broken(plugin, rule)).toEqual([rule]);
    }, 15_000);
  }
});

test("every rule that applies to the good plugin is broken by some mutation", () => {
  const applying = conformanceRules(good, cases).filter(({ skip }) => skip === undefined);
  const caught = new Set(MUTATIONS.map(({ rule }) => rule));
  expect(applying.map(({ name }) => name).filter((name) => !caught.has(name))).toEqual([]);
});

describe("a rule that does not apply says why", () => {
  const reasons = (plugin: AnyPlugin, given: PluginCases = cases): Map<string, string> => {
    const rules = conformanceRules(plugin, given);
    return new Map(rules.flatMap(({ name, skip }) => (skip === undefined ? [] : [[name, skip]])));
  };

  test("a plugin without a server has nothing to be unreachable", () => {
    const { defaultUrl: _, ...serverless } = good;
    const skipped = reasons(serverless, {});
    expect(skipped.get("health notices that the server is gone")).toBe("it has no server");
    expect(skipped.has("image.generate: a cancelled run settles")).toBe(false);
  });

  test("work that starts over has nothing to resume", () => {
    const capability = { ...good.capabilities["image.generate"], restart: "rerun" as const };
    const skipped = reasons({ ...good, capabilities: { "image.generate": capability } });
    const rule = "image.generate: does not submit twice after a restart";
    expect(skipped.get(rule)).toBe("it starts over");
  });

  test("a word that the fake cannot follow is skipped with the author's reason", () => {
    const skipped = reasons(good, { ...cases, without: { oom: "it computes on the CPU" } });
    const rule = "image.generate: a lack of GPU memory is OUT_OF_MEMORY";
    expect(skipped.get(rule)).toBe("it computes on the CPU");
  });
});

test("a plugin with a server but no fake is told what is missing", async () => {
  const rules = conformanceRules(good, {});
  const gone = rules.find(({ name }) => name === "health notices that the server is gone");
  const error = await gone?.check().catch((thrown: unknown) => thrown);
  expect(String(error)).toContain("give `fake` in the cases");
});

test("a request without a prompt asks its author for `withPrompt`, and works with it", async () => {
  const input = t.Object({ scene: t.String({ minLength: 1 }) });
  const inner = good.capabilities["image.generate"];
  const capability = {
    ...inner,
    input,
    example: { scene: "a yard" },
    vram: () => ({ model: "base", residentMiB: 1, workingMiB: 1 }),
    run: (job: Job<{ scene: string }>, ctx: never) =>
      inner.run({ ...job, input: { prompt: job.input.scene } } as never, ctx),
  };
  const plugin = { ...good, capabilities: { "image.generate": capability } } as AnyPlugin;
  const rule = "image.generate: a failure of the server is a BackendError";
  const find = (given: PluginCases) =>
    conformanceRules(plugin, given).find(({ name }) => name === rule);
  const error = await find(cases)
    ?.check()
    .catch((thrown: unknown) => thrown);
  expect(String(error)).toContain("give `withPrompt`");
  const withPrompt = (request: Readonly<Record<string, unknown>>, words: string) => ({
    scene: `${request.scene} ${words}`,
  });
  expect(await broken(plugin, rule, { ...cases, withPrompt })).toEqual([]);
  expect(BackendError.is(error)).toBe(false);
});
