// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration's own syntax.
import { describe, expect, test } from "bun:test";
import { t } from "../../../core/sdk/mod.ts";
import { load, told } from "./file.ts";

const own = {
  model: t.String({ default: "small" }),
  steps: t.Integer({ default: 20, minimum: 1, maximum: 100 }),
  strength: t.Number({ default: 0.5, exclusiveMinimum: 0, multipleOf: 0.1 }),
  folder: t.Optional(t.String({ pattern: "^/" })),
  token: t.Optional(t.String({ secret: true })),
  keep_alive: t.Union([t.Number(), t.String({ pattern: "^\\d+m$" })], { default: "30m" }),
  context: t.Record(t.String(), t.Integer({ minimum: 64 }), { default: {} }),
  tags: t.Array(t.Union([t.Literal("a"), t.Literal("b")]), { default: [], maxItems: 2 }),
  server: t.Object({ slots: t.Integer({ default: 1 }), mode: t.Optional(t.String()) }),
  anything: t.Optional(t.Unknown()),
};

const backend = (lines: string, env = {}) =>
  load(`backends:\n  a:\n    use: x\n${lines}`, env).backend("a", own);

describe("A plugin's own settings", () => {
  test("are all optional where they have defaults", () => {
    expect(backend("")).toEqual({
      problems: [],
      warnings: [],
      settings: {
        model: "small",
        steps: 20,
        strength: 0.5,
        keep_alive: "30m",
        context: {},
        tags: [],
        server: { slots: 1 },
      },
    });
  });

  test("are taken from the lines beside the kernel's", () => {
    const { settings, problems } = backend(
      `    url: http://h
    steps: \${STEPS}
    strength: 0.3
    keep_alive: \${KEEP}
    context: { "big:7b": 4096 }
    tags: [b]
    server: { mode: fast }
    anything: { at: [all] }
    folder: /models
`,
      { STEPS: "30", KEEP: "600" },
    );
    expect(problems).toEqual([]);
    expect(settings).toEqual({
      model: "small",
      steps: 30,
      strength: 0.3,
      keep_alive: 600,
      context: { "big:7b": 4096 },
      tags: ["b"],
      server: { slots: 1, mode: "fast" },
      anything: { at: ["all"] },
      folder: "/models",
    });
  });

  test("are checked as strictly as the rest, all mistakes at once", () => {
    const loaded = backend(`    modle: x
    concurency: 1
    steps: 0
    strength: 0.25
    folder: relative
    keep_alive: soon
    context: { "big:7b": 1 }
    tags: [c]
    server: { slot: 2 }
`);
    expect(told(loaded)).toEqual([
      "4 backends.a.modle: unknown key; did you mean `model`?",
      "5 backends.a.concurency: unknown key; did you mean `concurrency`?",
      "6 backends.a.steps: expected an integer between 1 and 100, got 0",
      "7 backends.a.strength: expected a number above 0, a multiple of 0.1, got 0.25",
      '8 backends.a.folder: expected text that matches ^/, got "relative"',
      '9 backends.a.keep_alive: expected a number or text that matches ^\\d+m$, got "soon"',
      "10 backends.a.context.big:7b: expected an integer of at least 64, got 1",
      '11 backends.a.tags[0]: expected one of a, b, got "c"',
      "12 backends.a.server.slot: unknown key; did you mean `slots`?",
    ]);
  });

  test("must be given where they have no default", () => {
    const { problems } = load("backends:\n  a:\n    use: x\n").backend("a", {
      script: t.String({ description: "Path of the program." }),
    });
    expect(problems).toEqual([
      { line: 2, key: "backends.a.script", message: "required, but missing: Path of the program." },
    ]);
  });

  test("warn about a marked secret that stands in the file, and not about one from outside", () => {
    expect(backend("    token: abc\n").warnings).toEqual([
      expect.objectContaining({ line: 4, key: "backends.a.token" }),
    ]);
    expect(backend("    token: ${T}\n", { T: "abc" }).warnings).toEqual([]);
  });

  test("never show a marked secret in messages", () => {
    const { problems } = backend("    token: 123456789\n");
    expect(problems[0]?.message).toBe("expected text, got a number; put it in quotes");
    const { settings } = backend("    token: ${T}\n", { T: "abc" });
    expect(settings.token).toBe("abc");
  });
});
