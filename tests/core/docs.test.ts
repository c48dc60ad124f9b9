/**
 * The documentation against the code: error codes, routes, scopes, reasons, links that lead
 * somewhere, and the script for leases.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { PRESETS, SCOPES } from "../../core/auth/scopes.ts";
import { CATALOGUE } from "../../core/errors.ts";
import type { Route } from "../../core/http/mod.ts";
import { STATUSES } from "../../core/jobs/state.ts";
import { routeTable } from "../e2e/table.ts";
import { eventually, type Gateway, startGateway } from "../gateway.ts";

const ROOT = resolve(import.meta.dir, "..", "..");
const BUILT_INS = `
backends:
  espeak: { use: espeak }
  comfyui: { use: comfyui, url: "http://127.0.0.1:1" }
  ollama: { use: ollama, url: "http://127.0.0.1:1" }
  wan2gp: { use: wan2gp, url: "http://127.0.0.1:1" }
  stable-audio: { use: stable-audio, url: "http://127.0.0.1:1" }
  yue: { use: yue, url: "http://127.0.0.1:1" }
`;
const README = textOf("README.md");
const API = textOf("docs/api.md");

describe("docs/api.md", () => {
  test("lists every error code as the catalogue has it, and no other", () => {
    const rows = tableRows(section(API, "Errors"));
    const documented = Object.fromEntries(rows.map(([code, ...facts]) => [plain(code), facts]));
    const real = Object.entries(CATALOGUE).map(([code, entry]) => {
      const { status, retryable, message, hint } = entry;
      return [code, [String(status), retryable ? "yes" : "no", message, hint]];
    });
    expect(documented).toEqual(Object.fromEntries(real));
  });

  test("lists every scope with the presets that have it, and no other", () => {
    const rows = tableRows(section(API, "Keys")).filter(([name]) => name?.startsWith("`"));
    const documented = new Map(rows.map(([scope, , presets]) => [plain(scope), presets]));
    for (const scope of SCOPES) {
      const has = Object.entries(PRESETS).filter(([, scopes]) => scopes.some((it) => it === scope));
      const names = has.map(([preset]) => preset);
      const expected = has.length === Object.keys(PRESETS).length ? "all" : names.join(", ");
      expect(`${scope}: ${documented.get(scope)}`).toBe(`${scope}: ${expected}`);
    }
    const others = [...documented.keys()].filter((name) => /:|^(tts|llm|metrics)$/.test(name));
    expect(others.sort()).toEqual([...SCOPES].sort());
  });

  test("names every state of a job", () => {
    const text = section(API, "Jobs");
    for (const status of STATUSES) expect(text).toContain(`\`${status}\``);
  });

  test("names every reason for which a job waits, and no other", () => {
    const declared = textOf("core/vram/explain/waits.ts").matchAll(/readonly kind: "(\w+)"/g);
    const reasons = new Set([...declared].map(([, kind = ""]) => kind));
    expect(reasons.size).toBeGreaterThan(10);
    // A pause and the moment before the start are no matter of devices.
    const real = [...reasons, "retry_later", "starting"];
    const rows = tableRows(section(API, "Jobs")).map(([reason]) => plain(reason));
    const from = rows.indexOf("order");
    expect(rows.slice(from, from + real.length).sort()).toEqual(real.sort());
  });

  test("names every state of a backend", () => {
    const [, declared = ""] =
      /BackendStatus =([^;]*);/.exec(textOf("core/events/event-map.ts")) ?? [];
    const states = [...declared.matchAll(/"(\w+)"/g)].map(([, state]) => state);
    expect(states.length).toBeGreaterThan(5);
    const text = section(API, "Backends and health");
    for (const state of states) expect(text).toContain(`\`${state}\``);
  });

  test("names every type of event, and no other", () => {
    const declared = textOf("core/events/event-map.ts").match(/"job\.(\w+)"/g) ?? [];
    // The bus carries events of all types under one name; nothing emits an output of its own yet.
    const real = declared.map((name) => name.slice(1, -1));
    const emitted = real.filter((name) => name !== "job.event");
    const documented = tableRows(section(API, "Events")).map(([type]) => plain(type));
    const types = documented.filter((type) => type.startsWith("job."));
    expect(types.sort()).toEqual([...new Set(emitted)].sort());
  });
});

describe("the tables of routes", () => {
  let mounted: readonly Route[] = [];
  beforeAll(async () => {
    mounted = await routeTable(BUILT_INS);
  }, 30_000);
  const names = () => mounted.map(({ method, path }) => `${method} ${braced(path)}`).sort();

  test("README.md has one line for each mounted route", () => {
    const documented = tableRows(section(README, "The API")).map(([name]) => plain(name));
    expect(documented.sort()).toEqual(names());
  });

  test("docs/api.md has one line for each, with what it needs", () => {
    const rows = tableRows(section(API, "Routes"));
    expect(rows.map(([name]) => plain(name)).sort()).toEqual(names());
    const needs = new Map(rows.map(([name, need]) => [plain(name), need ?? ""]));
    for (const { method, path, policy } of mounted) {
      const name = `${method} ${braced(path)}`;
      const need = needs.get(name) ?? "";
      const { access, ticket } = policy;
      const expected = { public: "nothing", bootstrap: "any, or nothing", any: "any" };
      const start =
        access in expected ? expected[access as keyof typeof expected] : `\`${access}\``;
      expect(`${name} needs ${need}`).toStartWith(`${name} needs ${start}`);
      expect(`${name}: ${need.includes("ticket")}`).toBe(`${name}: ${ticket === true}`);
    }
  });

  test("docs/api.md has an example of each in its text", () => {
    const examples = API.slice(API.indexOf("## Keys")) + textOf("docs/generation.md");
    const used = [...examples.matchAll(/(?:localhost:1301|`(?:GET|POST|DELETE) )(\/[\w\-./{}]*)/g)];
    const paths = used.map(([, path = ""]) => path);
    for (const { path } of mounted.filter(({ path }) => !path.startsWith("/swagger"))) {
      if (path === "/jobs/ws/jobs/:job_id" || path === "/jobs/:job_id/preview") continue;
      const shape = new RegExp(`^${path.replace(/:\w+/g, "[^/]+")}$`);
      expect(paths.some((used) => shape.test(used)) ? "" : `no example of ${path}`).toBe("");
    }
  });
});

describe.skipIf(Bun.which("curl") === null)("docs/lease.sh (needs curl)", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    const config =
      "devices: { gpu0: { probe: none, memory_mib: 8000, headroom_mib: 0 } }\nbackends: {}\n";
    gateway = await startGateway({ config });
  });
  afterAll(() => gateway.remove());

  /** Runs it with these arguments; settles when it has ended. */
  function lease(...words: string[]) {
    const script = join(ROOT, "docs", "lease.sh");
    const env = { ...process.env, SWITCHYARD_URL: gateway.url, SWITCHYARD_API_KEY: gateway.key };
    const child = Bun.spawn(["sh", script, ...words], { env, stdout: "pipe", stderr: "pipe" });
    const text = Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return {
      child,
      ended: text.then(async ([out, err]) => ({ code: await child.exited, out, err })),
    };
  }
  const leases = async () => (await gateway.call("GET", "/leases")).data.leases;

  test("runs the command under a lease, with its output and exit code, and gives it back", async () => {
    const held = join(gateway.folder, "held");
    const go = join(gateway.folder, "go");
    const script = `touch ${held}; while [ ! -e ${go} ]; do sleep 0.05; done; echo done; exit 7`;
    const running = lease("6000", "sh", "-c", script);
    await eventually("the command runs", () => existsSync(held));
    expect(await leases()).toMatchObject([{ name: "sh", mib: 6_000, status: "granted" }]);

    const next = lease("6000", "echo", "my turn");
    await eventually("the second one waits", async () => (await leases()).length === 2);
    writeFileSync(go, "");
    expect(await running.ended).toEqual({ code: 7, out: "done\n", err: "" });
    expect(await next.ended).toMatchObject({ code: 0, out: "my turn\n" });
    expect(await leases()).toEqual([]);
  }, 30_000);

  test("gives the lease back when it is told to end while it waits", async () => {
    const { data } = await gateway.call("POST", "/leases", { name: "game", mib: 8_000 });
    const { child, ended } = lease("6000", "true");
    await eventually("it waits", async () => (await leases()).length === 2);
    child.kill("SIGTERM");
    await eventually("its lease is gone", async () => {
      await gateway.call("DELETE", `/leases/${data.lease_id}`);
      return (await leases()).length === 0;
    });
    expect((await ended).code).toBe(143);
  }, 30_000);

  test("says why there is no lease", async () => {
    const { code, err } = await lease("9000", "true").ended;
    expect(code).toBe(1);
    expect(err).toContain("9000 MiB are asked for and gpu0 has 8000 MiB");
  });
});

describe("links", () => {
  const files = [
    "README.md",
    "CHANGELOG.md",
    ...new Bun.Glob("docs/**/*.md").scanSync(ROOT),
    ...new Bun.Glob("core/**/*.md").scanSync(ROOT),
    ...new Bun.Glob("plugins/*/README.md").scanSync(ROOT),
  ].map((file) => file.replaceAll("\\", "/"));

  test.each(files)("%s links only to what exists", (file) => {
    const text = textOf(file).replace(/```[\s\S]*?```/g, "");
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
    const broken = targets.filter((target) => !isThere(file, target));
    expect(broken).toEqual([]);
  });

  test("every decision is in the index", () => {
    const index = textOf("docs/decisions/README.md");
    const decisions = [...new Bun.Glob("0*.md").scanSync(join(ROOT, "docs/decisions"))];
    expect(decisions.length).toBeGreaterThan(0);
    expect(decisions.filter((name) => !index.includes(`(${name})`))).toEqual([]);
  });
});

function textOf(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** The text below `## title`, up to the next heading of that level. */
function section(text: string, title: string): string {
  const start = text.indexOf(`\n## ${title}\n`);
  expect(`${title} ${start >= 0}`).toBe(`${title} true`);
  const rest = text.slice(start + 4);
  const end = rest.search(/\n## /);
  return end < 0 ? rest : rest.slice(0, end);
}

/** The cells of every table row; headings and rulers are left out. */
function tableRows(text: string): string[][] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    const isRow = line.startsWith("|") && !/^\|[\s|:-]+\|$/.test(line);
    const isHeading = /^\|[\s|:-]+\|$/.test(lines[index + 1] ?? "");
    return isRow && !isHeading
      ? [
          line
            .slice(1, -1)
            .split("|")
            .map((cell) => cell.trim()),
        ]
      : [];
  });
}

const plain = (cell = ""): string => cell.replaceAll("`", "");
const braced = (path: string): string => path.replace(/:(\w+)/g, "{$1}");

function isThere(file: string, target: string): boolean {
  if (/^(https?:|mailto:)/.test(target)) return true;
  const [path = "", anchor] = target.split("#");
  const absolute = path === "" ? join(ROOT, file) : join(ROOT, dirname(file), path);
  if (!existsSync(absolute)) return false;
  if (anchor === undefined || !absolute.endsWith(".md")) return true;
  const headings = readFileSync(absolute, "utf8").match(/^#+ .*$/gm) ?? [];
  return headings.map(slug).includes(anchor);
}

/** The anchor that GitHub gives a heading. */
function slug(heading: string): string {
  const words = heading.replace(/^#+ /, "").toLowerCase();
  return words.replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}
