/**
 * SEC-07: no field of a request makes the gateway ask another host or touch another file. The fields
 * are those of the documentation, the backends are all plugins, so that a new one is covered.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { mp4, png, wav } from "../core/artifacts/samples.ts";
import { eventually, type Gateway, RUNTIME, startGateway, temporaryFolder } from "../gateway.ts";
import {
  type Canary,
  canTrace,
  everyPlugin,
  hostileFiles,
  hostileTexts,
  MARK,
  SECRET,
  startCanary,
  traceCalls,
} from "./hostile.ts";
import { FILES, send, stored } from "./uploads.ts";

const BYTES: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
  image: png(64, 64),
  audio: wav(0.05),
  video: mp4(),
};
const AT_ONCE = 8;
const LIMIT_MS = 120_000;

interface Work {
  readonly path: string;
  readonly example: Record<string, unknown>;
  /** Of text, in any variant of the body; "options.x" for one within. */
  readonly texts: readonly string[];
  /** What they must be, by name. */
  readonly files: Readonly<Record<string, string>>;
}

describe(`SEC-07 on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let canary: Canary;
  let plugins: Awaited<ReturnType<typeof everyPlugin>>;
  let works: Work[];
  let untrace: (() => Promise<string[]>) | undefined;
  let calls: string[] = [];
  const accepted = new Set<string>();

  beforeAll(async () => {
    canary = startCanary(temporaryFolder());
    plugins = await everyPlugin();
    gateway = await startGateway({
      config: `
auth: { limits: { requests_per_minute: 0, active_jobs: 0 } }
jobs: { attempt_timeout_ms: 10000, cancel_grace_ms: 200 }
${plugins.yaml}
  files: { use: ${FILES} }
`,
    });
    await eventually("every backend was looked at", async () => {
      const { data } = await gateway.call("GET", "/backends");
      return data.every((it: any) => it.status !== "starting");
    });
    works = worksOf((await gateway.call("GET", "/swagger/json")).json);
    const trace = join(gateway.folder, "trace");
    if (canTrace && gateway.child.pid) untrace = await traceCalls(gateway.child.pid, trace);
  }, 60_000);
  afterAll(async () => {
    await gateway.remove();
    await plugins.stop();
    await canary.stop();
  });

  /** Sends it; whatever comes of it is an answer of ours and tells nothing. */
  async function attack(what: string, path: string, body: any, headers = {}): Promise<number> {
    const { status, data, error } = await send(gateway, path, body, { headers });
    const text = JSON.stringify({ data, error });
    expect([what, text.includes(SECRET), error?.code ?? "none"]).toEqual([
      what,
      false,
      expect.not.stringMatching(/^INTERNAL$/),
    ]);
    if (data?.job_id) accepted.add(data.job_id);
    return status;
  }

  test("the documentation names routes with texts and files to attack", () => {
    const paths = works.map(({ path }) => path);
    expect(paths).toContain("/test/files");
    expect(paths).toContain("/generate/image");
    expect(paths).toContain("/tts");
    const ofImages = works.find(({ path }) => path === "/generate/image");
    expect(ofImages?.files).toMatchObject({ init_image: "image" });
    expect(ofImages?.texts).toContain("model");
    expect(works.flatMap(({ texts }) => texts)).toContain("voice");
    for (const { path, texts } of works)
      expect([path, texts.includes("backend")]).toEqual([path, true]);
  });

  test(
    "a text in any field is a text",
    async () => {
      const attacks = works.flatMap(({ path, example, texts }) =>
        texts.flatMap((field) =>
          hostileTexts(canary).map((text) => () => {
            const body = withField(example, field, text);
            return attack(`${path} ${field} ${text.slice(0, 60)}`, path, body);
          }),
        ),
      );
      await inTurns(attacks);
      expect(attacks.length).toBeGreaterThan(500);
    },
    LIMIT_MS,
  );

  test(
    "a file field takes bytes and nothing else",
    async () => {
      const attacks = works.flatMap(({ path, example, files }) =>
        Object.entries(files).flatMap(([field, kind]) =>
          hostileFiles(canary, BYTES[kind] ?? BYTES.image!).map((value: any) => async () => {
            const what = `${path} ${field} ${JSON.stringify(value).slice(0, 80)}`;
            const status = await attack(what, path, { ...example, [field]: value });
            const isMeant = typeof value?.base64 === "string" && Object.keys(value).length > 1;
            // A backend that is down is told before its files are looked at.
            if (!isMeant) expect([what, [422, 503].includes(status)]).toEqual([what, true]);
          }),
        ),
      );
      await inTurns(attacks);
      expect(attacks.length).toBeGreaterThan(100);
    },
    LIMIT_MS,
  );

  test(
    "names in a form are for display",
    async () => {
      const attacks = works.flatMap(({ path, example, files }) =>
        Object.entries(files).flatMap(([field, kind]) =>
          hostileTexts(canary).flatMap((text) => [
            () =>
              attack(
                `${path} ${field} named`,
                path,
                rawForm(example, field, text, BYTES[kind]!),
                FORM,
              ),
            () =>
              attack(
                `${path} as a field`,
                path,
                rawForm(example, text, "a.png", BYTES[kind]!),
                FORM,
              ),
          ]),
        ),
      );
      await inTurns(attacks);
      expect(attacks.length).toBeGreaterThan(50);
    },
    LIMIT_MS,
  );

  test(
    "what became of it: no visit, no file, no secret",
    async () => {
      expect(accepted.size).toBeGreaterThan(50);
      const list = async (query: string): Promise<any[]> =>
        (await gateway.call("GET", `/jobs?${query}`)).data.items;
      const open = () => list("status=pending,running&limit=100");
      const { data: backends } = await gateway.call("GET", "/backends");
      for (const { name } of backends) {
        const [first] = await list(`backend=${name}&limit=1`);
        if (first === undefined) continue;
        await eventually(
          `${name} had some of it`,
          async () =>
            (await list(`backend=${name}&status=running,completed,failed&limit=1`)).length > 0,
          60_000,
        );
      }
      await eventually(
        "the rest is cancelled",
        async () => {
          const left = await open();
          await inTurns(
            left.map(
              ({ job_id }) =>
                () =>
                  gateway.call("DELETE", `/jobs/${job_id}`),
            ),
          );
          return left.length === 0;
        },
        60_000,
      );
      calls = (await untrace?.()) ?? [];
      await inTurns(
        [...accepted].map((id) => async () => {
          const job = await gateway.call("GET", `/jobs/${id}`);
          expect(job.text).not.toContain(SECRET);
          const { data } = await gateway.call("GET", `/jobs/${id}/artifacts`);
          for (const { name, url } of data.items) {
            expect(name).toMatch(/^[^/\\\p{Cc}]{1,128}$/u);
            const bytes = await gateway.call("GET", url);
            expect(bytes.text).not.toContain(SECRET);
          }
        }),
      );
      expect(canary.visits).toEqual([]);
      expect(readdirSync(canary.folder)).toEqual(["secret.txt"]);
      const own = readdirSync(gateway.folder, { recursive: true }).map(String);
      expect(own.filter((path) => path.includes(MARK))).toEqual([]);
      for (const path of stored(gateway)) expect(path).toMatch(/^[0-9a-f]{2}\/[0-9a-f-]{36}$/);
    },
    LIMIT_MS,
  );

  test.skipIf(!canTrace)(
    `no system call named such a path or that port${canTrace ? "" : " (needs strace, and the right to trace)"}`,
    () => {
      expect(calls.length).toBeGreaterThan(100);
      expect(calls.filter((line) => line.includes(MARK))).toEqual([]);
      expect(calls.filter((line) => line.includes(`htons(${canary.port})`))).toEqual([]);
    },
  );
});

/** The routes that accept work, as the documentation has them. */
function worksOf(document: any): Work[] {
  return Object.entries<any>(document.paths).flatMap(([path, { post }]) => {
    if (!post?.tags?.includes("generation")) return [];
    const { schema, example = {} } = post.requestBody.content["application/json"];
    const form = post.requestBody.content["multipart/form-data"]?.schema;
    const texts = new Set<string>();
    for (const variant of schema.anyOf ?? [schema]) {
      for (const [name, field] of Object.entries<any>(variant.properties)) {
        if (takesText(field)) texts.add(name);
        if (name !== "options") continue;
        texts.add("options.anything");
        for (const [option, its] of Object.entries<any>(field.properties ?? {})) {
          if (takesText(its)) texts.add(`options.${option}`);
        }
      }
    }
    const files: Record<string, string> = {};
    for (const variant of form?.anyOf ?? [form]) {
      for (const [name, field] of Object.entries<any>(variant?.properties ?? {})) {
        if (field.format === "binary")
          files[name] = /\((\w+)\)$/.exec(field.description)?.[1] ?? "";
      }
    }
    return [{ path, example, texts: [...texts], files }];
  });
}

const takesText = (field: any): boolean =>
  field.type === "string" || (field.anyOf ?? []).some(takesText);

function withField(example: Record<string, unknown>, field: string, value: unknown) {
  const [outer = "", inner] = field.split(".");
  return { ...example, [outer]: inner === undefined ? value : { [inner]: value } };
}

const FORM = { "content-type": "multipart/form-data; boundary=boundary" };

/** As no client library would write it: the name stands there as it is. */
function rawForm(example: object, field: string, name: string, bytes: Uint8Array): ReadableStream {
  const head =
    `--boundary\r\ncontent-disposition: form-data; name="request"\r\n\r\n${JSON.stringify(example)}\r\n` +
    `--boundary\r\ncontent-disposition: form-data; name="${field}"; filename="${name}"\r\n\r\n`;
  return new Response(new Blob([head, new Uint8Array(bytes), "\r\n--boundary--\r\n"])).body!;
}

async function inTurns(works: readonly (() => Promise<unknown>)[]): Promise<void> {
  const left = [...works];
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) await next();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
