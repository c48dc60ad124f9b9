/** A job and the files of its request: made together, found by the plugin, or not made at all. */
import { afterEach, expect, test } from "bun:test";
import { Type as t } from "@sinclair/typebox";
import { GatewayError } from "../../../core/errors.ts";
import { bodyOfFields } from "../../../core/jobs/form-fields.ts";
import type { FilesPort, Incoming } from "../../../core/jobs/ports.ts";
import type { Job } from "../../../core/sdk/job.ts";
import { openWorld, type World } from "./world.ts";

const FILE: Incoming = { id: "file-1", mediaType: "image/png", sha256: "00" };

let world: World | undefined;
afterEach(() => world?.remove());

/** A store of files that says what it was asked. */
function fakeFiles(attach: FilesPort["attach"] = () => {}) {
  const attached: string[] = [];
  const port: FilesPort = {
    receive: async () => FILE,
    examine: async () => {},
    find: () => FILE,
    discard: async () => {},
    attach(job, files) {
      attach(job, files);
      attached.push(...files.map(({ id }) => `${id} of ${job.keyId}`));
    },
    open: (id, job) =>
      id === "file-1" && job.keyId === "key"
        ? { name: "a.png", mediaType: "image/png", sizeBytes: 1, blob: async () => new Blob(["x"]) }
        : undefined,
  };
  return { port, attached };
}

test("files become the job's in the commit that makes it, and the plugin finds them", async () => {
  const { port, attached } = fakeFiles();
  const names: string[] = [];
  world = openWorld({
    files: port,
    run: async (job: Job<any>) => {
      const file = await job.file(job.input.image);
      names.push(file.name, await (await file.blob()).text());
    },
  });
  const id = await world.submit({ input: { image: { artifact_id: "file-1" } }, files: [FILE] });
  expect(attached).toEqual(["file-1 of key"]);
  expect((await world.ended(id))?.status).toBe("completed");
  expect(names).toEqual(["a.png", "x"]);
});

test("a file that is gone by the time of the commit makes no job, and frees its place", async () => {
  const { port } = fakeFiles(() => {
    throw new GatewayError("VALIDATION_FAILED", "gone");
  });
  world = openWorld({ files: port });
  const work = { files: [FILE], activeLimit: 1 };
  const error: any = await world.submit(work).catch((cause) => cause);
  expect(error.message).toBe("gone");
  expect(world.jobs.list({ limit: 10 })).toEqual([]);
  // The limit of one unfinished job is not used up.
  const again: any = await world.submit(work).catch((cause) => cause);
  expect(again.message).toBe("gone");
});

test("a repeated request attaches nothing", async () => {
  const { port, attached } = fakeFiles();
  world = openWorld({ files: port });
  const idempotency = { key: "k", fingerprint: "f" };
  const first = await world.submit({ files: [FILE], idempotency });
  expect(await world.submit({ files: [FILE], idempotency })).toBe(first);
  expect(attached).toEqual(["file-1 of key"]);
});

test("a file that the job does not have is the input's fault", async () => {
  const { port } = fakeFiles();
  world = openWorld({ files: port, run: (job) => job.file({ artifact_id: "file-2" }) });
  const ended = await world.ended(await world.submit());
  expect(ended?.error).toMatchObject({ code: "BACKEND_REJECTED" });
});

const BODY = t.Union([
  t.Object({
    prompt: t.String(),
    count: t.Optional(t.Integer()),
    cfg: t.Optional(t.Number()),
    loud: t.Optional(t.Boolean()),
    size: t.Optional(t.Union([t.Literal(1), t.Literal(2)])),
    style: t.Optional(t.Union([t.Literal("a"), t.Literal("b")])),
    tags: t.Optional(t.Array(t.String())),
    options: t.Optional(t.Record(t.String(), t.Unknown())),
  }),
  t.Object({ prompt: t.String(), steps: t.Integer() }),
]);

test.each([
  ["prompt", "3", "3"],
  ["prompt", "true", "true"],
  ["prompt", '{"a":1}', '{"a":1}'],
  ["count", "3", 3],
  ["count", "3.5", 3.5],
  ["count", " ", " "],
  ["count", "Infinity", "Infinity"],
  ["cfg", "1e1", 10],
  ["steps", "20", 20],
  ["loud", "false", false],
  ["loud", "no", "no"],
  ["size", "2", 2],
  ["style", "b", "b"],
  ["tags", '["x"]', ["x"]],
  ["tags", "x,y", "x,y"],
  ["options", '{"a":{"b":[1]}}', { a: { b: [1] } }],
  ["options", "{", "{"],
  ["unknown", "1", "1"],
] as const)("of a form, %s=%s is %j", (name, text, value) => {
  expect(bodyOfFields({ [name]: text }, BODY)).toEqual({ [name]: value } as any);
});

test("a form's part `request` is the whole, and single fields win over it", () => {
  const request = '{"prompt":"a","count":1}';
  expect(bodyOfFields({ count: "2", request }, BODY)).toEqual({ prompt: "a", count: 2 });
  for (const wrong of ["", "[]", "7", "{"]) {
    expect(() => bodyOfFields({ request: wrong }, BODY)).toThrow("not a JSON object");
  }
  const own = t.Object({ request: t.String() });
  expect(bodyOfFields({ request: "7" }, own)).toEqual({ request: "7" });
});
