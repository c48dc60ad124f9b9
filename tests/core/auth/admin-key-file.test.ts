import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAdminKeyFile, UnusableAdminKeyError } from "../../../core/auth/mod.ts";
import { ANY, createWorld, peer, refusal, request } from "./setup.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-admin-key-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string, mode = 0o600): string {
  const path = join(folder, "admin-key");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function refused(path: string): string {
  try {
    readAdminKeyFile(path);
  } catch (error) {
    if (error instanceof UnusableAdminKeyError) return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

test("its text is a key that may do everything, and no other text is", () => {
  const text = randomBytes(32).toString("base64");
  const world = createWorld({}, { adminKey: readAdminKeyFile(file(`${text}\n`)) });
  const admit = (key: string) =>
    world.auth.guard.admit(
      request("/x", { authorization: `Bearer ${key}` }),
      "/x",
      { access: "keys:admin" },
      peer(),
    );
  expect(admit(text).principal).toMatchObject({ keyId: "adminkey" });
  expect(world.auth.isValid("adminkey")).toBe(true);
  const other = `${text.startsWith("A") ? "B" : "A"}${text.slice(1)}`;
  expect(refusal(() => admit(other)).code).toBe("UNAUTHORIZED");
  // Chosen by a person, so guessing is slowed down: from a failing address it is not tried at all.
  for (let round = 0; round < 10; round++) refusal(() => admit(`guess ${round}`));
  expect(refusal(() => admit(text)).code).toBe("RATE_LIMITED");
  world.clock.advance(60_000);
  expect(admit(text).principal).toBeDefined();
  world.close();
});

test("without the file nobody is the admin key", () => {
  const world = createWorld();
  const asked = request("/x", { "x-api-key": "adminkey" });
  expect(refusal(() => world.auth.guard.admit(asked, "/x", ANY, peer())).code).toBe("UNAUTHORIZED");
  expect(world.auth.isValid("adminkey")).toBe(false);
  world.close();
});

test("good ways to make one are accepted", () => {
  for (let round = 0; round < 200; round++) {
    readAdminKeyFile(file(randomBytes(16).toString("hex")));
    readAdminKeyFile(file(randomBytes(24).toString("base64")));
  }
});

test("a random one is accepted although it has runs by chance", () => {
  readAdminKeyFile(file("01239f3b8e2d0c556678a4e17d9b2f6c"));
});

for (const [why, text] of Object.entries({
  "holds 0 characters": "  \n",
  "holds 31 characters": randomBytes(31).toString("base64").slice(0, 31),
  "more than 512": randomBytes(600).toString("hex").slice(0, 600),
  "too few different": "ab".repeat(20),
  "spaces or characters": `${randomBytes(20).toString("hex")} ${randomBytes(20).toString("hex")}`,
  "looks like an example": "change-me-please-this-is-the-admin-key",
})) {
  test(`a file that ${why} is refused, with how to make a good one`, () => {
    const message = refused(file(text));
    expect(message).toContain(why);
    expect(message).toContain("openssl rand");
    if (text.trim()) expect(message).not.toContain(text.trim());
  });
}

for (const example of [
  "0123456789abcdef0123456789abcdef",
  "1234abcd5678efgh1234abcd5678efgh",
  "replace-with-a-long-random-admin-key",
  "your-super-secret-admin-password-here",
  "sk-1234567890abcdefghijklmnopqrstuv-example",
]) {
  test(`the example "${example}" is refused`, () => {
    expect(refused(file(example))).toContain("SWITCHYARD_ADMIN_KEY_FILE");
  });
}

test("a file that others can read, a folder and a missing file are refused", () => {
  const text = randomBytes(32).toString("hex");
  for (const mode of [0o644, 0o640, 0o602]) {
    expect(refused(file(text, mode))).toContain("chmod 600");
  }
  expect(refused(folder)).toContain("is not a file");
  expect(refused(join(folder, "none"))).toContain("ENOENT");
});
