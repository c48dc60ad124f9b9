/** Processes that compute for a backend beside its server. */
import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createOwned } from "../../../core/host/owned.ts";
import { eventually } from "../../gateway.ts";

test("counts until every run has taken its word back, or the process has ended", async () => {
  const child = spawn("sleep", ["300"], { stdio: "ignore" });
  const pid = child.pid!;
  const owned = createOwned();
  let changes = 0;
  owned.onChange(() => changes++);
  const [first, second] = [owned.add(pid), owned.add(pid)];
  expect(owned.pids()).toEqual([pid]);
  first();
  first();
  expect(owned.pids()).toEqual([pid]);
  expect(changes).toBe(3);
  child.kill("SIGKILL");
  await eventually("it has ended", () => owned.pids().length === 0);
  second();
  expect(changes).toBe(4);
});

test("takes no number that is nobody's own", () => {
  for (const pid of [0, 1, -5, 1.5, Number.NaN])
    expect(() => createOwned().add(pid)).toThrow("own");
});
