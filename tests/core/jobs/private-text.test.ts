/** What a log line says of a failure whose message repeats the request. */
import { expect, test } from "bun:test";
import { withoutInput } from "../../../core/jobs/private-text.ts";

const prompt = 'My neighbour\'s "secret"\n\tgarden,  seen from above by night in the rain';
const said = (message: string, input: object = { prompt }, model: string | null = null): string =>
  withoutInput(message, { input, model } as never);

test("a text is not repeated, however the error shows it", () => {
  expect(said(`no weights for ${prompt}!`)).toBe("no weights for [input]!");
  expect(said(`bad value: ${JSON.stringify(prompt)}`)).toBe('bad value: "[input]"');
  expect(said(`refused: ${prompt.replace(/\s+/g, " ")}`)).toBe("refused: [input]");
  expect(said(`failed at ${prompt.slice(15, 50)}`)).toBe("failed at[input]");
  expect(said(`CUDA out of memory at step 3`)).toBe("CUDA out of memory at step 3");
});

test("a model's name stays, and nothing else that is written in its place", () => {
  const name = "facebook/musicgen-large";
  expect(said(`no model ${name}`, { model: name }, name)).toBe(`no model ${name}`);
  const text = "../../etc/passwd of my neighbour";
  expect(said(`no model ${text}`, { model: text }, text)).toBe("no model [input]");
});

test("long texts in long messages are looked for in no time", () => {
  const long = "a steam train leaves the yard. ".repeat(40_000);
  const began = performance.now();
  expect(said(`refused: ${long.slice(1_000, 3_000)}`, { prompt: long })).toBe("refused:[input]");
  const dull = "a".repeat(100_000);
  expect(said("a".repeat(2_000), { prompt: dull })).toBe("[input]");
  expect(performance.now() - began).toBeLessThan(2_000);
});
