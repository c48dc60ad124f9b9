/** What a client is told of a backend's failure. */
import { expect, test } from "bun:test";
import { BackendError } from "switchyard/sdk";
import { clientError } from "../../../core/http/envelope.ts";

test("a code that the catalogue does not have becomes BACKEND_FAILED", () => {
  for (const code of ["MADE_UP", "constructor", "toString"]) {
    const told = clientError(new BackendError(code as never, "it broke"));
    expect([told?.code, told?.message]).toEqual(["BACKEND_FAILED", "it broke"]);
  }
  const busy = clientError(new BackendError("BACKEND_BUSY", "later", { retryAfterMs: 5 }));
  expect([busy?.code, busy?.retryAfterMs]).toEqual(["BACKEND_BUSY", 5]);
});
