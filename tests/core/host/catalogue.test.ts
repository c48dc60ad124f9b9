/** Who may do a request: the first choice, the others that could do the same, and who could not. */
import { describe, expect, test } from "bun:test";
import { Type as t } from "@sinclair/typebox";
import type { Principal } from "../../../core/auth/principal.ts";
import type { BackendStatus } from "../../../core/events/mod.ts";
import { type Backend, createBackend } from "../../../core/host/backend.ts";
import { createCatalogue } from "../../../core/host/mod.ts";
import { type AnyPlugin, definePlugin } from "../../../core/sdk/plugin.ts";

const input = t.Object({
  text: t.String(),
  model: t.Optional(t.String()),
  raw: t.Optional(t.String()),
});

interface Settings {
  readonly model: string;
  readonly mib: number;
  readonly refuses?: string;
  readonly breaks?: boolean;
}

function pluginOf(more: Partial<AnyPlugin> = {}): AnyPlugin {
  return definePlugin({
    apiVersion: 1,
    name: "fake",
    version: "1.0.0",
    title: "Fake",
    summary: "A fake.",
    config: { model: t.String(), mib: t.Integer() },
    health: async () => ({ status: "ready" }),
    capabilities: {
      "fake.work": {
        route: "POST /generate/fake",
        input,
        example: { text: "x" },
        restricted: { raw: "generate:raw" },
        check: (_, { refuses }: any) => refuses,
        vram(request, { model, mib, breaks }: any) {
          if (breaks) throw new Error("no cost");
          return { model: request.model ?? model, residentMiB: mib, workingMiB: 0 };
        },
        run: () => ({}),
      },
    },
    ...more,
  }) as AnyPlugin;
}

interface Member {
  readonly name: string;
  readonly settings?: Partial<Settings>;
  readonly status?: BackendStatus;
  readonly plugin?: AnyPlugin;
  readonly use?: string;
  /** What the server says that it has; without it the plugin has no list. */
  readonly models?: () => Promise<readonly { name: string }[]>;
  readonly queueWhenDown?: boolean;
}

const DEVICE_MIB = 1_000;
const principal: Principal = {
  keyId: "key",
  name: "key",
  scopes: new Set(),
  limits: { requestsPerMinute: 0, activeJobs: 0 },
};

function open(...members: Member[]) {
  let nowMs = 0;
  const lists = new Map(members.map(({ name, models }) => [name, models]));
  const shared = pluginOf(
    members.some(({ models }) => models)
      ? { models: async ({ backend }) => (await lists.get(backend)?.()) ?? [] }
      : {},
  );
  const backends = members.map((member): Backend => {
    const { name, use = "fake", plugin = shared, status = "ready" } = member;
    const backend = createBackend({
      name,
      use,
      plugin,
      settings: {
        device: name,
        concurrency: 1,
        queueWhenDown: member.queueWhenDown ?? false,
        queueTimeoutMs: 1,
        attemptTimeoutMs: 1,
        stallTimeoutMs: 1,
        healthTimeoutMs: 1_000,
      },
      context: () =>
        ({ backend: name, config: { model: "m", mib: 500, ...member.settings } }) as any,
      monotonicMs: () => nowMs,
    });
    backend.state = { status };
    return backend;
  });
  const catalogue = createCatalogue({
    backends,
    shortage(device, { residentMiB }) {
      if (residentMiB <= DEVICE_MIB) return undefined;
      return { device, neededMiB: residentMiB, availableMiB: DEVICE_MIB };
    },
    monotonicMs: () => nowMs,
    recheck() {},
  });
  const service = catalogue.services[0];
  if (!service) throw new Error("no service");
  return {
    catalogue,
    async names(body: object = {}) {
      const { choices } = await catalogue.resolve(service, { text: "x", ...body }, principal);
      return choices.map(({ backend }) => backend.name);
    },
    resolve: (body: object = {}) => catalogue.resolve(service, { text: "x", ...body }, principal),
    refused: (body: object = {}) =>
      catalogue.resolve(service, { text: "x", ...body }, principal).catch((error: any) => error),
    later(ms: number) {
      nowMs += ms;
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const has =
  (...names: string[]) =>
  async () =>
    names.map((name) => ({ name }));

describe("a request that names no backend", () => {
  test("may go to every backend of the same plugin that works, the first one first", async () => {
    const { names } = open(
      { name: "a" },
      { name: "b" },
      { name: "asleep", status: "stopped" },
      { name: "up-soon", status: "starting" },
      { name: "gone", status: "down" },
      { name: "other", use: "other", plugin: pluginOf() },
      { name: "twin-of-other", use: "other" },
    );
    expect(await names()).toEqual(["a", "b", "asleep", "up-soon"]);
  });

  test("goes to one that works before one that must be started", async () => {
    const { names } = open({ name: "asleep", status: "stopped" }, { name: "b" });
    expect(await names()).toEqual(["b", "asleep"]);
  });

  test("does not go where it means another model, is refused, or cannot be costed", async () => {
    const { resolve } = open(
      { name: "a", settings: { mib: 500 } },
      { name: "other-model", settings: { model: "n" } },
      { name: "refuses", settings: { refuses: "not here" } },
      { name: "breaks", settings: { breaks: true } },
      { name: "small", settings: { mib: DEVICE_MIB + 1 } },
      { name: "cheaper", settings: { mib: 400 } },
    );
    const { choices, model } = await resolve();
    expect(model).toBe("m");
    expect(choices.map(({ backend, demand }) => [backend.name, demand?.residentMiB])).toEqual([
      ["a", 500],
      ["cheaper", 400],
    ]);
  });

  test("that is too large for the first device goes to one where it fits", async () => {
    const { names, refused } = open({ name: "a", settings: { mib: 2_000 } }, { name: "b" });
    expect(await names()).toEqual(["b"]);
    expect(await refused({ backend: "a" })).toMatchObject({
      code: "INFEASIBLE_VRAM",
      details: { device: "a", needed_mib: 2_000, available_mib: DEVICE_MIB },
    });
  });

  test("that is too large everywhere is refused with what the first one lacks", async () => {
    const { refused } = open(
      { name: "a", settings: { mib: 2_000 } },
      { name: "b", settings: { mib: 3_000 } },
    );
    expect(await refused()).toMatchObject({
      code: "INFEASIBLE_VRAM",
      message: "2000 MiB are needed and a has 1000 MiB: 1000 MiB too much",
    });
  });
});

test("a request that names its backend goes there and nowhere else", async () => {
  const { names } = open({ name: "a" }, { name: "b" });
  expect(await names({ backend: "b" })).toEqual(["b"]);
});

test("a field that needs a scope is refused before anybody is looked at", async () => {
  const { refused } = open({ name: "a" }, { name: "b" });
  expect(await refused({ raw: "x" })).toMatchObject({ code: "FORBIDDEN_SCOPE" });
});

describe("a request that names a model", () => {
  test("goes to others as soon as their lists are known to have it, asked beside it", async () => {
    const asked: string[] = [];
    const list = (name: string, ...models: string[]) => {
      return async () => {
        asked.push(name);
        return has(...models)();
      };
    };
    const { names } = open(
      { name: "a", models: list("a", "m") },
      { name: "b", models: list("b", "m") },
      { name: "c", models: list("c", "n") },
    );
    expect(await names({ model: "m" })).toEqual(["a"]);
    await turn();
    for (let count = 0; count < 50; count++)
      expect(await names({ model: "m" })).toEqual(["a", "b"]);
    expect(asked.sort()).toEqual(["a", "b", "c"]);
  });

  test("does not trust a list for ever, nor wait for a server that does not answer", async () => {
    let answers = true;
    const { names, later } = open(
      { name: "a", models: has("m") },
      { name: "b", models: () => (answers ? has("m")() : new Promise(() => {})) },
    );
    await names({ model: "m" });
    await turn();
    expect(await names({ model: "m" })).toEqual(["a", "b"]);
    answers = false;
    later(61_000);
    expect(await names({ model: "m" })).toEqual(["a"]);
  });

  test("that the first one lacks is served by one that has it; else it is told what is there", async () => {
    const { names, refused } = open(
      { name: "a", models: has("m") },
      { name: "b", models: has("llama") },
    );
    expect(await names({ model: "llama" })).toEqual(["b"]);
    expect(await refused({ model: "lama" })).toMatchObject({
      code: "VALIDATION_FAILED",
      message: expect.stringContaining('Fake has no model "lama"'),
    });
    expect(await refused({ model: "llama", backend: "a" })).toMatchObject({
      code: "VALIDATION_FAILED",
    });
  });

  test("goes to one that sleeps when its last list had the model", async () => {
    const asleep: Member = { name: "b", models: has("m") };
    const world = open({ name: "a", models: has("m") }, asleep);
    await world.names({ model: "m" });
    await turn();
    const b = world.catalogue.services[0]?.offers.find(({ backend }) => backend.name === "b");
    if (b) b.backend.state = { status: "stopped" };
    world.later(3_600_000);
    expect(await world.names({ model: "m" })).toEqual(["a", "b"]);
  });
});

describe("work that waits again", () => {
  const work = { kind: "fake.work", backend: "b", input: { text: "x" } };

  test("has its own backend first, and the others only when its client chose none", () => {
    const { catalogue } = open({ name: "a" }, { name: "b" }, { name: "c", status: "down" });
    const names = (isOpen: boolean) =>
      catalogue.choicesOf({ ...work, isOpen }).map(({ backend }) => backend.name);
    expect(names(true)).toEqual(["b", "a"]);
    expect(names(false)).toEqual(["b"]);
  });

  test("of a backend that is configured no longer has no choice", () => {
    const { catalogue } = open({ name: "a" });
    expect(catalogue.choicesOf({ ...work, isOpen: true })).toEqual([]);
  });

  test("tells when its plugin cannot cost it any more", () => {
    const { catalogue } = open({ name: "b", settings: { breaks: true } });
    expect(() => catalogue.choicesOf({ ...work, isOpen: false })).toThrow("no cost");
  });
});
