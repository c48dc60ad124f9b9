import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runCli, runKeysCommand } from "../../../core/cli/mod.ts";
import { ANY, createWorld, peer, refusal, request, type World } from "../auth/setup.ts";

let world: World;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.close());

async function keys(line: string, folder = world.folder) {
  const written = { out: "", err: "" };
  const code = await runKeysCommand(line.split(" ").filter(Boolean), {
    folder,
    clock: world.clock,
    stdout: { write: (text: string) => (written.out += text) },
    stderr: { write: (text: string) => (written.err += text) },
  });
  return { code, ...written, key: /sy_\w{47}/.exec(written.out)?.[0] ?? "" };
}

/** As the running gateway sees the key, a second later. */
function admit(key: string) {
  world.clock.advance(1_000);
  return world.auth.guard.admit(request("/x", { "x-api-key": key }), "/x", ANY, peer());
}

describe("beside a running gateway", () => {
  test("create makes an admin key first, client keys later, and prints each once", async () => {
    const first = await keys("create --name laptop");
    expect(first).toMatchObject({ code: 0, err: "" });
    expect(first.out).toContain("may: admin");
    expect(admit(first.key).principal?.scopes.has("keys:admin")).toBe(true);
    const second = await keys("create --name phone");
    expect(admit(second.key).principal?.scopes.has("keys:admin")).toBe(false);
    const listed = (await keys("list")).out + (await keys("list --json")).out;
    for (const { key } of [first, second]) {
      expect(listed).toContain(key.slice(3, 11));
      expect(listed).not.toContain(key.slice(12, 44));
    }
  });

  test("create takes scopes, a preset, an end and limits", async () => {
    const made = await keys(
      "create --name ci --scopes tts,llm --expires-in 1h --requests-per-minute 9 --active-jobs 0",
    );
    const principal = admit(made.key).principal;
    expect([...(principal?.scopes ?? [])]).toEqual(["tts", "llm"]);
    expect(principal?.limits).toEqual({ requestsPerMinute: 9, activeJobs: 0 });
    world.clock.advance(3_600_000);
    expect(refusal(() => admit(made.key)).code).toBe("UNAUTHORIZED");
    const other = await keys("create --name viewer --preset readonly");
    expect(admit(other.key).principal?.scopes.has("gpu:read")).toBe(true);
  });

  test("revoke ends a key, by its id or by the key itself", async () => {
    for (const name of ["one", "two"]) {
      const { key } = await keys(`create --name ${name}`);
      expect(admit(key).principal).toBeDefined();
      const revoked = await keys(`revoke ${name === "one" ? key.slice(3, 11) : key}`);
      expect(revoked.out).toBe(`Key ${key.slice(3, 11)} ("${name}") is revoked.\n`);
      expect(refusal(() => admit(key)).code).toBe("UNAUTHORIZED");
      expect((await keys(`revoke ${key}`)).out).toContain("had been revoked before");
    }
  });

  test("rotate gives a new secret, with a grace of a day unless told otherwise", async () => {
    const { key } = await keys("create --name app");
    const next = await keys(`rotate ${key.slice(3, 11)}`);
    expect(next.out).toContain("The old secret works until");
    expect(admit(key).principal).toBeDefined();
    expect(admit(next.key).principal).toBeDefined();
    const last = await keys(`rotate ${key.slice(3, 11)} --grace 0`);
    expect(refusal(() => admit(next.key)).code).toBe("UNAUTHORIZED");
    expect(admit(last.key).principal).toBeDefined();
  });

  test("list shows states, and an end that has come", async () => {
    const { key } = await keys("create --name gone --expires-in 45s");
    world.clock.advance(45_000);
    const { out } = await keys("list --json");
    expect(JSON.parse(out)).toMatchObject([
      { id: key.slice(3, 11), name: "gone", state: "expired", created_by: "cli" },
    ]);
  });
});

test("without a gateway, create makes the data folder and the others say that there is none", async () => {
  const folder = join(world.folder, "elsewhere");
  const listed = await keys("list", folder);
  expect(listed.code).toBe(1);
  expect(listed.err).toContain("SWITCHYARD_DATA");
  expect(existsSync(folder)).toBe(false);
  const made = await keys("create --name first", folder);
  expect(made).toMatchObject({ code: 0, err: "" });
  expect((await keys("list", folder)).out).toContain("first");
});

describe("mistakes", () => {
  const mistakes: [line: string, code: number, says: string][] = [
    ["frob", 64, 'no command "keys frob"'],
    ["constructor", 64, 'no command "keys constructor"'],
    ["create", 64, "needs one name"],
    ["create --name", 64, "--name"],
    ["create --name a --preset god", 64, "client, readonly, operator, admin"],
    ["create --name a --scopes tts,all", 64, 'no scope "all"'],
    ["create --name a --preset client --scopes tts", 64, "not both"],
    ["create --name a --expires-in soon", 64, '--expires-in "soon"'],
    ["create --name a --expires-in 0", 64, "more than 0"],
    ["create --name a --active-jobs many", 64, "whole number"],
    ["create --name a --colour red", 64, "colour"],
    ["revoke a b", 64, "one key by its id"],
    ["revoke", 64, "one key by its id"],
    ["revoke nothing1", 1, 'no key "nothing1"'],
    ["rotate nothing1", 1, 'no key "nothing1"'],
    ["rotate nothing1 --grace 1y", 64, '--grace "1y"'],
  ];
  for (const [line, code, says] of mistakes) {
    test(`"keys ${line}" says what is wrong and changes nothing`, async () => {
      const result = await keys(line);
      expect(result.code).toBe(code);
      expect(result.err).toContain(says);
      expect(result.err).not.toContain("    at ");
      expect(result.out).toBe("");
      expect(world.auth.keys.page(1)).toEqual([]);
    });
  }

  test("a file that is no database is named, with what to do", async () => {
    const folder = join(world.folder, "broken");
    await Bun.write(
      join(folder, "switchyard.db"),
      "not a database at all, but long enough".repeat(40),
    );
    const result = await keys("list", folder);
    expect(result.code).toBe(78);
    expect(result.err).toContain("switchyard.db");
  });
});

test("the command line starts the gateway unless it is told something else", async () => {
  const written = { out: "", err: "" };
  const started: string[][] = [];
  const run = (...argv: string[]) =>
    runCli(argv, {
      folder: world.folder,
      clock: world.clock,
      stdout: { write: (text: string) => (written.out += text) },
      stderr: { write: (text: string) => (written.err += text) },
      async start(args) {
        started.push(args);
        return 7;
      },
    });
  expect(await run()).toBe(7);
  expect(await run("start", "--now")).toBe(7);
  expect(started).toEqual([[], ["--now"]]);
  expect(await run("keys", "--help")).toBe(0);
  expect(await run("--help")).toBe(0);
  expect(written.out).toContain("keys <command>");
  expect(await run("stop")).toBe(64);
  expect(written.err).toContain('no command "stop"');
  expect(started).toHaveLength(2);
});
