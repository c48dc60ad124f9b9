/** What comes in is checked, completed and cleaned, the short way and the long way alike. */
import { describe, expect, test } from "bun:test";
import { Type as t } from "@sinclair/typebox";
import * as fc from "fast-check";
import { strictForm } from "../../../core/strict-form.ts";
import { createCheck } from "../../../core/validation.ts";

const schema = t.Object({
  prompt: t.String({ minLength: 1 }),
  speed: t.Number({ default: 1 }),
  format: t.Union([t.Literal("wav"), t.Literal("mp3")], { default: "wav" }),
  stop: t.Optional(t.Array(t.Object({ text: t.String() }))),
});

describe("a check", () => {
  const check = createCheck(schema);

  test("takes a complete request as it is", () => {
    const body = { prompt: "a fox", speed: 2, format: "mp3", stop: [{ text: "x" }] };
    expect<unknown>(check(body)).toEqual({ ok: true, value: body });
  });

  test("fills in defaults and drops unknown keys, also inside lists", () => {
    const body = { prompt: "a fox", colour: "red", stop: [{ text: "x", more: 1 }] };
    const value = { prompt: "a fox", speed: 1, format: "wav", stop: [{ text: "x" }] };
    expect<unknown>(check(body)).toEqual({ ok: true, value });
    expect(body.colour).toBe("red");
  });

  test("names every wrong field at once", () => {
    const checked = check({ prompt: "", speed: "fast", format: "ogg" });
    const fields = checked.ok ? [] : checked.errors.map(({ field }) => field);
    expect(fields).toEqual(["/prompt", "/speed", "/format"]);
  });

  test("says what a field wants by its description, not by its pattern", () => {
    const state = t.String({ pattern: "^(on|off)$", description: "Either on or off." });
    const checked = createCheck(t.Object({ state }))({ state: "of" });
    expect<unknown>(checked.ok ? [] : checked.errors).toEqual([
      { field: "/state", message: 'does not fit "Either on or off.", got "of"' },
    ]);
  });

  test("gives the same answer whichever way it takes", () => {
    const field = fc.oneof(fc.string(), fc.integer(), fc.constant("wav"), fc.constant(undefined));
    const stop = fc.option(fc.array(fc.record({ text: fc.string(), more: field })), {
      nil: undefined,
    });
    // The same fields in a form that has no strict one, so that it always takes the long way.
    const composed = t.Intersect([schema, t.Object({})]);
    expect(strictForm(composed)).toBeUndefined();
    const long = createCheck(composed);
    fc.assert(
      fc.property(fc.record({ prompt: field, speed: field, format: field, stop }), (body) => {
        const plain = JSON.parse(JSON.stringify(body));
        const [one, other] = [check(plain), long(plain)];
        expect(one.ok).toBe(other.ok);
        if (one.ok && other.ok) expect(one.value).toEqual(other.value);
      }),
      { numRuns: 500 },
    );
  });

  test("an optional field with a default is filled in", () => {
    const optional = t.Object({ voice: t.Optional(t.String({ default: "en" })) });
    expect(strictForm(optional)).toBeUndefined();
    expect(createCheck(optional)({})).toEqual({ ok: true, value: { voice: "en" } });
  });
});
