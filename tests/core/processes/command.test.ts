/** Tools that are run to their end. */
import { expect, test } from "bun:test";
import { runCommand } from "../../../core/runtime/mod.ts";

const failure = (argv: string[], more = {}) =>
  runCommand(argv, { timeoutMs: 10_000, ...more }).then(
    () => undefined,
    (error) => error,
  );

test("every argument reaches the program as it was given", async () => {
  const words = ["", "a b", "$(id)", "`id`", "it's", 'q"q', "\\n", "new\nline", "*", "ünï", ";ls"];
  const { code, stdout } = await runCommand(["printf", "[%s]", ...words], { timeoutMs: 10_000 });
  expect(code).toBe(0);
  expect(stdout).toBe(words.map((word) => `[${word}]`).join(""));
});

test("an exit code is an answer, with both outputs", async () => {
  const line = "echo out; echo err >&2; exit 3";
  expect(await runCommand(["sh", "-c", line], { timeoutMs: 10_000 })).toEqual({
    ...{ code: 3, stdout: "out\n", stderr: "err\n" },
  });
});

test("the environment is what is given, with plain words in the answers", async () => {
  const env = { PATH: process.env.PATH ?? "", A: "1" };
  const { stdout } = await runCommand(["env"], { timeoutMs: 10_000, env });
  expect(stdout).toContain("A=1");
  expect(stdout).toContain("LC_ALL=C");
  expect(stdout).not.toContain("HOME=");
});

test("a program that does not exist is said so", async () => {
  const error = await failure(["no-such-program-here"]);
  expect(error).toMatchObject({ name: "CommandError", kind: "missing" });
  expect(error.message).toContain("no-such-program-here");
});

test("a command that takes too long is ended, and the wait too, though its child holds on", async () => {
  const error = await failure(["sh", "-c", "sleep 61 & sleep 61"], { timeoutMs: 200 });
  expect(error).toMatchObject({ name: "CommandError", kind: "timeout" });
});

test("a command that prints without end is ended", async () => {
  const error = await failure(["sh", "-c", "yes; true"], { maxOutputBytes: 100_000 });
  expect(error).toMatchObject({ name: "CommandError", kind: "too_much_output" });
});

test("an aborted command rejects with the signal's reason", async () => {
  const reason = new Error("enough");
  const error = await failure(["sleep", "61"], { signal: AbortSignal.abort(reason) });
  expect(error).toBe(reason);
  const stop = new AbortController();
  const running = failure(["sleep", "61"], { signal: stop.signal });
  stop.abort(reason);
  expect(await running).toBe(reason);
});

test("an option or nothing in the place of a program is refused", async () => {
  for (const argv of [[], [""], ["-c", "id"], ["printf", "a\0b"]]) {
    expect(await failure(argv)).toBeInstanceOf(TypeError);
  }
});
