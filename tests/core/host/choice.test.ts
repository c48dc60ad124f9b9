/** Which of several backends, perhaps with different plugins, a request goes to first. */
import { describe, expect, test } from "bun:test";
import { type TObject, type TProperties, Type as t } from "@sinclair/typebox";
import type { Principal } from "../../../core/auth/principal.ts";
import type { BackendStatus } from "../../../core/events/mod.ts";
import { type Backend, createBackend } from "../../../core/host/backend.ts";
import { createCatalogue } from "../../../core/host/mod.ts";
import type { AudioFormat } from "../../../core/sdk/formats.ts";
import { inputs } from "../../../core/sdk/mod.ts";
import { type AnyPlugin, definePlugin } from "../../../core/sdk/plugin.ts";

interface Member {
  readonly name: string;
  readonly status?: BackendStatus;
  readonly queueWhenDown?: boolean;
  readonly fallback?: boolean;
  /** Its own plugin, with this much of the input. */
  readonly fields?: readonly string[];
  readonly input?: TObject;
  readonly formats?: readonly AudioFormat[];
  readonly models?: () => Promise<readonly { name: string }[]>;
  readonly options?: () => Promise<TProperties>;
  readonly offers?: readonly string[];
  /** What a look at the server told. */
  readonly seen?: { readonly version: string; readonly offers: readonly string[] };
  /** MiB on a GPU; none unless said. */
  readonly mib?: number;
}

const principal: Principal = {
  keyId: "key",
  name: "key",
  scopes: new Set(),
  limits: { requestsPerMinute: 0, activeJobs: 0 },
};
const has =
  (...names: string[]) =>
  async () =>
    names.map((name) => ({ name }));
const never = () => new Promise<never>(() => {});

function pluginOf(member: Member): AnyPlugin {
  const { fields, input = inputs.music, formats, options, mib, offers } = member;
  return definePlugin({
    apiVersion: 1,
    name: "fake",
    version: "1.0.0",
    title: member.name.toUpperCase(),
    summary: "A fake.",
    config: {},
    fallback: member.fallback,
    health: async () => ({ status: "ready" }),
    ...(offers ? { offers: () => offers } : {}),
    ...(member.models ? { models: member.models } : {}),
    capabilities: {
      "music.generate": {
        route: "POST /generate/music",
        input,
        example: { prompt: "x" },
        ...(fields ? { takes: () => ["prompt", "model", "format", "options", ...fields] } : {}),
        ...(formats ? { formats } : {}),
        ...(options ? { options } : {}),
        ...(mib === undefined
          ? {}
          : {
              vram: (request: any) => ({
                model: request.model ?? "usual",
                residentMiB: mib,
                workingMiB: 0,
              }),
            }),
        run: () => ({}),
      },
    },
  }) as AnyPlugin;
}

function open(members: readonly Member[], resident: readonly string[] = [], formats = ["mp3"]) {
  let nowMs = 0;
  let asked = 0;
  const rechecked: string[] = [];
  const backends = members.map((member): Backend => {
    const plugin = pluginOf(member);
    const backend = createBackend({
      name: member.name,
      use: member.name,
      plugin,
      settings: {
        device: "gpu0",
        concurrency: 1,
        queueWhenDown: member.queueWhenDown ?? false,
        queueTimeoutMs: 1,
        attemptTimeoutMs: 1,
        stallTimeoutMs: 1,
        healthTimeoutMs: 100,
      },
      context: () => ({ backend: member.name, config: {} }) as any,
      monotonicMs: () => nowMs,
    });
    backend.state = { status: member.status ?? "ready", ...member.seen };
    return backend;
  });
  const catalogue = createCatalogue({
    backends,
    shortage: () => undefined,
    monotonicMs: () => nowMs,
    recheck: ({ name }) => void rechecked.push(name),
    isResident: (backend, model) => resident.includes(`${backend}/${model}`),
    conversion: {
      missing: (format) => (formats.includes(format) ? undefined : `nothing makes ${format}`),
    },
  });
  const service = catalogue.services[0];
  if (!service) throw new Error("no service");
  const resolve = (body: object) => catalogue.resolve(service, { prompt: "x", ...body }, principal);
  return {
    rechecked,
    asked: () => ++asked,
    resolve,
    async first(body: object = {}) {
      return (await resolve(body)).choices[0].backend.name;
    },
    refused: (body: object = {}) => resolve(body).catch((error: any) => error),
    later: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe("the order", () => {
  test("is as configured among those that work", async () => {
    expect(await open([{ name: "a" }, { name: "b" }]).first()).toBe("a");
  });

  test("has those that work, then those that a job would start, then fallbacks", async () => {
    const ranks: Member[] = [
      { name: "gone", status: "down" },
      { name: "unseen", status: "starting" },
      { name: "last", fallback: true },
      { name: "asleep", status: "stopped" },
      { name: "busy", status: "busy" },
    ];
    for (const expected of ["busy", "asleep", "last", "unseen"]) {
      expect(await open(ranks).first()).toBe(expected);
      ranks.splice(
        ranks.findIndex(({ name }) => name === expected),
        1,
      );
    }
    const { refused, rechecked } = open(ranks);
    expect(await refused()).toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    expect(rechecked).toEqual(["gone"]);
  });

  test("has a backend that is down and queues, when no other can do it", async () => {
    const members: Member[] = [
      { name: "a", status: "down" },
      { name: "b", status: "down", queueWhenDown: true },
    ];
    expect(await open(members).first()).toBe("b");
  });

  test("has the one whose model is on the device before others that work", async () => {
    const members: Member[] = [
      { name: "a", mib: 100 },
      { name: "b", mib: 100 },
      { name: "asleep", mib: 100, status: "stopped" },
    ];
    expect(await open(members, ["b/usual"]).first()).toBe("b");
    expect(await open(members, ["asleep/usual"]).first()).toBe("a");
    // What is there is another model than the one asked for.
    expect(await open(members, ["b/usual"]).first({ model: "other" })).toBe("a");
    expect(await open(members, ["b/usual"]).first({ backend: "a" })).toBe("a");
  });
});

describe("a server that has less than its plugin", () => {
  const seen = { version: "MAGNeT", offers: ["audio.generate"] };
  const members: Member[] = [{ name: "a", seen }, { name: "b" }];

  test("is passed over for work that it does not have", async () => {
    expect(await open(members).first()).toBe("b");
  });

  test("says what answers there when it is named", async () => {
    const { message } = await open(members).refused({ backend: "a" });
    expect(message).toContain("A (a) has no music.generate: MAGNeT answers there");
  });
});

describe("a named model", () => {
  test("goes to the first backend that has it, whatever its plugin", async () => {
    const members: Member[] = [
      { name: "listless" },
      { name: "a", models: has("m") },
      { name: "b", models: has("n") },
    ];
    expect(await open(members).first({ model: "n" })).toBe("b");
    expect(await open(members).first({ model: "m" })).toBe("a");
    // Who has no list may have it.
    expect(await open(members).first({ model: "other" })).toBe("listless");
    expect(await open(members).first()).toBe("listless");
  });

  test("that nobody has is refused with the nearest of the first, and hanging lists cost one wait", async () => {
    const members: Member[] = [
      { name: "a", models: has("waltz") },
      { name: "b", models: never },
      { name: "c", models: never },
    ];
    const began = performance.now();
    expect(await open(members).refused({ model: "walz" })).toMatchObject({
      code: "VALIDATION_FAILED",
      message: 'Invalid body field /model: A has no model "walz"; did you mean "waltz"?',
    });
    expect(performance.now() - began).toBeLessThan(3_000);
  });
});

describe("limits of one backend", () => {
  const short = t.Composite([
    t.Omit(inputs.music, ["duration_seconds"]),
    t.Object({ duration_seconds: t.Optional(t.Number({ maximum: 30 })) }),
  ]);

  test("send a request beyond them to one that goes further", async () => {
    const members: Member[] = [{ name: "a", input: short }, { name: "b" }];
    const { first, refused } = open(members);
    expect(await first({ duration_seconds: 20 })).toBe("a");
    expect(await first({ duration_seconds: 120 })).toBe("b");
    expect(await refused({ duration_seconds: 120, backend: "a" })).toMatchObject({
      code: "VALIDATION_FAILED",
    });
  });

  test("are told of the first one when nobody goes further", async () => {
    const { refused } = open([
      { name: "a", input: short },
      { name: "b", status: "down" },
    ]);
    expect(await refused({ duration_seconds: 120 })).toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    const wrong = await open([{ name: "a", input: short }]).refused({ duration_seconds: 120 });
    expect(wrong.details.errors[0].field).toBe("/duration_seconds");
  });
});

describe("a format", () => {
  test("that one backend makes and nobody converts to goes there", async () => {
    const members: Member[] = [{ name: "a" }, { name: "b", formats: ["flac"] }];
    const { first, refused } = open(members);
    expect(await first({ format: "mp3" })).toBe("a");
    expect(await first({ format: "flac" })).toBe("b");
    expect(await refused({ format: "opus" })).toMatchObject({
      message:
        "Invalid body field /format: A does not make opus, and nothing makes opus; possible now: wav, mp3",
    });
  });
});

describe("options", () => {
  const tempo = async () => ({ tempo: t.Integer({ minimum: 40, maximum: 200 }) });
  const pace = async () => ({ pace: t.Number() });

  test("go to the first server that declares them", async () => {
    const members: Member[] = [
      { name: "a", options: tempo },
      { name: "b", options: pace },
    ];
    expect(await open(members).first({ options: { pace: 1 } })).toBe("b");
    expect(await open(members).first({ options: { tempo: 90 } })).toBe("a");
  });

  test("that a server refused do not go to one that cannot be asked", async () => {
    const members: Member[] = [
      { name: "a", options: tempo },
      { name: "mute", options: never },
    ];
    const { refused, first } = open(members);
    expect((await refused({ options: { temp: 90 } })).message).toContain('did you mean "tempo"');
    expect(await first({ options: { temp: 90 }, backend: "mute" })).toBe("mute");
  });

  test("are asked for once a minute, and after a failure not at once again", async () => {
    let asked = 0;
    let fails = true;
    const options = async () => {
      asked++;
      if (fails) throw new Error("not now");
      return { tempo: t.Integer() };
    };
    const { first, refused, later } = open([{ name: "a", options }]);
    expect(await first({ options: { x: 1 } })).toBe("a");
    expect(await first({ options: { x: 1 } })).toBe("a");
    expect(asked).toBe(1);
    fails = false;
    later(10_001);
    expect((await refused({ options: { x: 1 } })).code).toBe("VALIDATION_FAILED");
    later(59_000);
    await refused({ options: { x: 1 } });
    expect(asked).toBe(2);
    later(2_000);
    await refused({ options: { x: 1 } });
    expect(asked).toBe(3);
  });

  test("whose schema nobody can check are left to the run", async () => {
    const options = async () => ({ own: t.Unsafe<string>({ type: "string" }) });
    expect(await open([{ name: "a", options }]).first({ options: { own: 7 } })).toBe("a");
  });

  test("without a declaration and without a schema of its own are not taken", async () => {
    const { refused, first } = open([{ name: "a" }]);
    expect((await refused({ options: { x: 1 } })).details.errors[0].field).toBe("/options");
    expect(await first({ options: {} })).toBe("a");
  });

  test("of a plugin's own schema are held against that", async () => {
    const own = t.Composite([
      t.Omit(inputs.music, ["options"]),
      t.Object({ options: t.Optional(t.Object({ tempo: t.Integer() })) }),
    ]);
    const { refused, first } = open([{ name: "a", input: own }]);
    expect(await first({ options: { tempo: 90 } })).toBe("a");
    expect((await refused({ options: { tempo: 90, x: 1 } })).message).toContain('no option "x"');
  });
});

test("a backend that does not offer the kind is no choice for it", async () => {
  const members: Member[] = [{ name: "a", offers: [] }, { name: "b" }];
  const { first, refused } = open(members);
  expect(await first()).toBe("b");
  expect((await refused({ backend: "a" })).message).toContain(
    'no backend "a" offers music.generate',
  );
});
