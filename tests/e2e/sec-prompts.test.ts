/**
 * Hostile texts in every text field of every capability of every built-in plugin: they arrive as
 * they are or are refused, and reach no shell, no path and no log. Which fields there are is what
 * GET /models and the plugins' own folder tell, so a new plugin has to appear here.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { eventually, type Gateway, RUNTIME, startGateway, temporaryFolder } from "../gateway.ts";
import { type Players, startPlayers } from "./sec-prompts-stage.ts";

const ROOT = resolve(import.meta.dir, "../..");
const LIMIT_MS = 300_000;
/** What a plugin may tell; INTERNAL would be a surprise of ours. */
const CLASSES = ["BACKEND_REJECTED", "BACKEND_FAILED", "BACKEND_BAD_OUTPUT"];
/** The gateway's own programs, and the runtime that plays the others. */
const PROGRAMS = ["bun", "bun.exe", "deno", "ffmpeg", "ffprobe", "nvidia-smi", "rocm-smi"];
const PLAIN = "a train";
const NAMED_BY_PROGRAM =
  /^data\/work\/yue-v1\/jobs\/[\w.-]+\/out\/(vocoder\/mix\/)?[\w ,.&+@-]+_mixed\.mp3$/;
/** Less than the largest body that is taken. */
const MAX_TEXT = 1_000_000;

/** The trap is a folder in which nothing may ever lie; `mark` tells one text from another. */
const ATTACKS: Readonly<Record<string, (mark: string, trap: string) => string>> = {
  "words for a shell, a template, JSON and a reader": (mark, trap) =>
    `${mark} $(touch ${trap}/a) \`touch ${trap}/b\` '; touch ${trap}/c; ' "; touch ${trap}/d; " ` +
    `\\' \\" | touch canary && touch canary & touch canary; touch canary # > ${trap}/e “x” ‘y’ «z» ` +
    `{{prompt}} {{in}} {{out}} {{options.x}} \${HOME} $HOME %PATH% $&$1 %00 %2e%2e%2f %s %n {0} ` +
    `__proto__ ","output_dir":"/tmp/canary"}],"x":[{" file:///etc/passwd?${mark} http://127.0.0.1:1/${mark} ` +
    `\u202eevil\u202c 🚂👩‍🚒 e\u0301 شمال 北 \ufeff \u2028\u2029 end`,
  "a newline and an option": (mark) => `${mark}\n-rf\n--help\n; touch canary`,
  "an option": (mark, trap) => `--out=${trap}/${mark}`,
  "a path": (mark) => `../../../canary/${mark}`,
  "a full path": (mark, trap) => `${trap}/${mark}.wav`,
  "a header and a part of a form": (mark) =>
    `${mark}"\r\nContent-Disposition: form-data; name="output_dir"\r\n\r\n/tmp/canary\r\n--`,
  "half a character": (mark) => `${mark} \ud83d and more`,
  "a NUL": (mark) => `${mark}\u0000-rf`,
  "other controls": (mark) => `${mark} \u0007\u001b[2J\u001b]0;canary\u0007 \u007f\u0085 end`,
};

const WORST = Object.keys(ATTACKS).filter((what) => /^(words|an option|a NUL)/.test(what));

describe(`hostile texts, on ${RUNTIME}`, () => {
  const folder = temporaryFolder();
  const trap = join(folder, "trap");
  let players: Players;
  let gateway: Gateway;
  let items: any[];
  let looking: ReturnType<typeof setInterval>;
  const programs = new Set<string>();
  const ended = new Set<string>();
  const names: string[] = [];
  /** Fields of which a text came through: "yue lyrics". */
  const reached = new Set<string>();
  let count = 0;
  const mark = (): string => {
    count += 1;
    return `mk${process.pid}q${count}z`;
  };

  beforeAll(async () => {
    mkdirSync(trap);
    players = await startPlayers();
    const backends = Object.fromEntries(
      Object.entries(players).map(([name, { plugin, url, config }]) => [
        name,
        { use: plugin, ...(url && { url }), ...config },
      ]),
    );
    const health = { timeout_ms: 20_000 };
    const auth = { limits: { requests_per_minute: 0, active_jobs: 0 } };
    const config = { health, auth, log: { level: "debug" }, devices: { gpu0: {} }, backends };
    gateway = await startGateway({ config: JSON.stringify(config), folder });
    looking = setInterval(() => {
      for (const program of programsOf(gateway.child.pid ?? 0)) programs.add(program);
    }, 25);
    await eventually(
      "all are ready",
      async () => {
        const { data } = await gateway.call("GET", "/backends");
        const unwell = data.filter(({ status }: any) => status !== "ready");
        return unwell.length === 0;
      },
      60_000,
    );
    items = (await gateway.call("GET", "/models")).data.items;
  }, 120_000);

  afterAll(async () => {
    clearInterval(looking);
    await gateway?.remove();
    for (const player of Object.values(players ?? {})) await player.stop();
  });

  /** Sends the work; fields that are refused with 422 are taken out, until it is taken. */
  async function send(item: any, fields: Record<string, any>): Promise<Sent> {
    const body: Record<string, any> = { backend: item.backend, ...required(item), ...fields };
    for (let left = 30; left > 0; left--) {
      const headers = { prefer: "wait=60" };
      const path = item.route.split(" ")[1];
      const answer = await gateway.call("POST", path, body, { headers });
      if (answer.status >= 400 && ![404, 422].includes(answer.status)) {
        throw new Error(`${item.backend}: ${answer.status} ${answer.text} ${JSON.stringify(body)}`);
      }
      if (answer.status < 300) {
        const job = await gateway.ended(answer.data.job_id, 60_000);
        return { job, body };
      }
      const asked = Object.keys(body).filter((name) => name !== "backend");
      if (asked.length === 0) return { body };
      const told = refusedFields(answer.error).filter((name) => asked.includes(name));
      const [other] = asked.filter((name) => !item.takes.required.includes(name)).reverse();
      const refused = told.length > 0 ? told : [other ?? asked[0] ?? ""];
      for (const name of refused) {
        const plain = required(item)[name];
        if (plain === undefined) delete body[name];
        else if (String(body[name]) === PLAIN) return { body };
        else body[name] = plain;
      }
    }
    throw new Error(`${item.backend} refuses whatever is left of ${JSON.stringify(fields)}`);
  }

  function badEnd({ backend }: any, { job }: Sent): string[] {
    for (const { name } of job?.output?.artifacts ?? []) names.push(name);
    if (job === undefined || job.status === "completed") return [];
    ended.add(`${backend} ${job.error?.code}`);
    const isFine = job.status === "failed" && CLASSES.includes(job.error.code);
    return isFine ? [] : [`${backend}: ${job.status} ${JSON.stringify(job.error)}`];
  }

  test("every built-in plugin is here", () => {
    const built = readdirSync(join(ROOT, "plugins")).sort();
    expect([...new Set(Object.values(players).map(({ plugin }) => plugin))].sort()).toEqual(built);
    expect([...new Set(items.map(({ backend }) => backend))].sort()).toEqual(
      Object.keys(players).sort(),
    );
  });

  for (const [what, attack] of Object.entries(ATTACKS)) {
    // The same code makes of texts what it makes of them: the second runtime gets the worst three.
    if (RUNTIME === "deno" && !WORST.includes(what)) continue;
    test(
      `${what} arrives as it is, or is refused`,
      async () => {
        const wrong: string[] = [];
        await Promise.all(
          items.map(async (item) => {
            const fields = textsOf(item, () => attack(mark(), trap));
            const sent = await send(item, fields);
            wrong.push(...badEnd(item, sent));
            if (sent.job?.status !== "completed") return;
            wrong.push(...altered(item, sent.body, players, reached));
          }),
        );
        expect(wrong).toEqual([]);
      },
      LIMIT_MS,
    );
  }

  test(
    "texts as long as the schema allows are taken or refused, and a longer one is 422",
    async () => {
      const wrong: string[] = [];
      await Promise.all(
        items.map(async (item) => {
          const limits = limitsOf(item);
          for (const [name, limit] of limits) {
            const body = {
              ...required(item),
              [name]: "x".repeat(limit + 1),
              backend: item.backend,
            };
            const { status, error } = await gateway.call("POST", item.route.split(" ")[1], body);
            const isNamed = refusedFields(error).includes(name);
            if (status !== 422 || !isNamed) wrong.push(`${item.backend} ${name}: ${status}`);
          }
          const longest = limits.map(([name, limit]) => [name, longText(mark(), limit)] as const);
          // What is too much for one body goes one by one.
          const isMuch = limits.reduce((sum, [, limit]) => sum + limit, 0) > MAX_TEXT;
          const bodies = isMuch ? longest.map((one) => [one]) : [longest];
          for (const body of bodies) {
            wrong.push(...badEnd(item, await send(item, Object.fromEntries(body))));
          }
        }),
      );
      expect(wrong).toEqual([]);
    },
    LIMIT_MS,
  );

  test("texts did come through, so that all this means something", () => {
    const looked = Object.entries(players).filter(([, { arrived }]) => arrived !== undefined);
    const empty = looked.filter(([name]) => ![...reached].some((it) => it.startsWith(`${name} `)));
    expect(empty.map(([name]) => name)).toEqual([]);
    for (const field of ["prompt", "negative_prompt", "lyrics", "style", "text", "options"]) {
      expect([...reached].filter((it) => it.endsWith(` ${field}`))).not.toEqual([]);
    }
  });

  test("no program was started but the gateway's own and the stand-ins (needs /proc)", () => {
    const strange = [...programs].filter((program) => !PROGRAMS.includes(program));
    expect(strange).toEqual([]);
  });

  test("nothing of it names a file, a folder or an artifact, and no canary was made", () => {
    expect(readdirSync(trap)).toEqual([]);
    const below = readdirSync(folder, { recursive: true }).map(String);
    const all = [...below, ...readdirSync(ROOT), ...names];
    const telling = all.filter((name) => /canary|mk\d+q|passwd/.test(name));
    // YuE v1 itself names its files by the style; what is left of it means nothing to anybody.
    expect(telling.filter((name) => !NAMED_BY_PROGRAM.test(name))).toEqual([]);
    expect(names.length).toBeGreaterThan(100);
  });

  test("nothing of it stands in the log", () => {
    const lines = gateway.output().split("\n");
    expect(lines.filter((line) => /mk\d+q\d+z|canary/.test(line)).slice(0, 5)).toEqual([]);
    expect(lines.length).toBeGreaterThan(10);
  });
});

interface Sent {
  /** Undefined when nothing of the request was taken. */
  readonly job?: any;
  /** What was sent in the end. */
  readonly body: Record<string, any>;
}

const isText = (schema: any): boolean =>
  schema.type === "string" && schema.enum === undefined && schema.format === undefined;

/** A text for each text field, alone or in a list, and in each option that takes one. */
function textsOf(item: any, text: () => string): Record<string, any> {
  const of = (properties: Record<string, any>): Record<string, any> =>
    Object.fromEntries(
      Object.entries(properties).flatMap(([name, schema]): [string, unknown][] => {
        if (isText(schema)) return [[name, text()]];
        const isList = schema.type === "array" && isText(schema.items);
        return isList ? [[name, [text()]]] : [];
      }),
    );
  const options = of(item.options ?? {});
  const hasOptions = Object.keys(options).length > 0;
  return { ...of(item.takes.properties), ...(hasOptions && { options }) };
}

function limitsOf(item: any): (readonly [string, number])[] {
  return Object.entries<any>(item.takes.properties).flatMap(([name, schema]) =>
    isText(schema) && schema.maxLength !== undefined ? [[name, schema.maxLength] as const] : [],
  );
}

/** The least that is taken. */
function required({ takes }: any): Record<string, unknown> {
  const { properties } = takes;
  const names = [...new Set([...takes.required, "prompt"])].filter((name) => name in properties);
  const isList = (name: string) => properties[name].type === "array";
  const texts = names.filter((name: string) => isList(name) || isText(properties[name]));
  return Object.fromEntries(texts.map((name: string) => [name, isList(name) ? [PLAIN] : PLAIN]));
}

function longText(mark: string, length: number): string {
  return `${mark} ${"a steam train. ".repeat(length / 15 + 1)}`.slice(0, length);
}

/** By the errors of a 422, "/options/abc" for an option. */
function refusedFields(error: any): string[] {
  const errors: any[] = error?.details?.errors ?? [];
  return errors.map(({ field, message }) => {
    const named = field === "" ? (/^(\w+)(?: |:)/.exec(message)?.[1] ?? "") : field.slice(1);
    return named.split("/")[0] ?? "";
  });
}

/** Every text that stands somewhere in the value. */
function strings(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (value instanceof Map) return strings([...value.values()]);
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(strings) : [];
}

/** Which of the sent texts arrived as something else; tells which arrived at all. */
function altered(
  item: any,
  { backend, ...body }: Record<string, any>,
  players: Players,
  reached: Set<string>,
): string[] {
  const { arrived, rewritten = [] } = players[backend] ?? {};
  const came = strings(arrived?.());
  return Object.entries(body).flatMap(([name, value]) =>
    strings(value).flatMap((text) => {
      const [own = ""] = /mk\d+q\d+z/.exec(text) ?? [];
      const found = own === "" ? [] : came.filter((it) => it.includes(own));
      if (found.length === 0) return [];
      reached.add(`${item.backend} ${name}`);
      // Half a character has no bytes: U+FFFD stands for it.
      const fits = rewritten.includes(name) ? wordsIn(text) : [text.toWellFormed()];
      return fits.every((part) => found.some((it) => it.toWellFormed().includes(part)))
        ? []
        : [`${item.backend} ${name}: ${JSON.stringify(text)} came as ${JSON.stringify(found[0])}`];
    }),
  );
}

/** What is left of a text when it is cut into lines and its controls and brackets are replaced. */
function wordsIn(text: string): string[] {
  return text.match(/[\p{L}\p{N}]+/gu)?.slice(0, 1) ?? [];
}

/** The names of all programs that run below the process. */
function programsOf(root: number): string[] {
  if (!existsSync("/proc/self/stat")) return [];
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = read(`/proc/${pid}/stat`);
    parents.set(pid, Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  const isBelow = (pid: number): boolean => {
    for (let at = parents.get(pid); at !== undefined && at > 1; at = parents.get(at)) {
      if (at === root) return true;
    }
    return false;
  };
  return [...parents.keys()].filter(isBelow).flatMap((pid) => {
    const [program = ""] = read(`/proc/${pid}/cmdline`).split("\0");
    return program === "" ? [] : [basename(program)];
  });
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
