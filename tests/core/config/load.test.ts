// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration's own syntax.
import { describe, expect, test } from "bun:test";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { configPath, formatProblems, loadConfig } from "../../../core/config/mod.ts";
import { load, told } from "./file.ts";

const project = resolve(import.meta.dir, "../../..");
/** What a device is when nothing is said about it. */
const PLAIN_DEVICE = { headroom_mib: 512, heavy: 1, probe: "auto" as const };

describe("A right file", () => {
  test("gives every default when it is empty", () => {
    const { config, problems, warnings } = load("# nothing yet\n");
    expect(problems).toEqual([]);
    expect(warnings).toEqual([]);
    expect(config).toEqual({
      http: {
        host: "127.0.0.1",
        port: 1301,
        allowed_hosts: [],
        allowed_origins: [],
        trusted_proxies: [],
        max_body_bytes: 1048576,
        max_upload_bytes: 67108864,
        docs: true,
      },
      auth: {
        bootstrap_window_ms: 600000,
        failures_per_minute: 10,
        max_key_lifetime_ms: 0,
        limits: { requests_per_minute: 6000, active_jobs: 1000 },
      },
      storage: { folder: join(project, "data"), ballast_mib: 16 },
      jobs: {
        queue_timeout_ms: 3600000,
        attempt_timeout_ms: 1800000,
        stall_timeout_ms: 600000,
        cancel_grace_ms: 10000,
        drain_timeout_ms: 30000,
        retention_ms: 604800000,
        max_pending: 10000,
      },
      artifacts: { retention_ms: 604800000, max_bytes: 2147483648, ffmpeg: "auto" },
      health: { interval_ms: 10000, timeout_ms: 5000 },
      log: { level: "info", prompts: false },
      vram: {
        policy: "fair",
        heavy_ms: 10000,
        overdue_after_ms: 60000,
        overdue_runs: 2,
        overdue_share: 0.25,
        fairness_ms: 120000,
        probe_interval_ms: 1000,
      },
      devices: { gpu0: PLAIN_DEVICE },
      backends: {},
    });
  });

  test("does not share its defaults between two loads", () => {
    const first = load("");
    (first.config.http.allowed_hosts as string[]).push("changed.example.org");
    expect(load("").config.http.allowed_hosts).toEqual([]);
  });

  test("completes each backend from the sections above it", () => {
    const { config, problems } = load(`
jobs: { stall_timeout_ms: 5000 }
devices: { left: {}, right: { memory_mib: 24576 } }
backends:
  one: { use: comfyui }
  two: { use: comfyui, device: right, stall_timeout_ms: 7, concurrency: 2, when_down: queue }
`);
    expect(problems).toEqual([]);
    expect(config.backends.one).toEqual({
      use: "comfyui",
      enabled: true,
      when_down: "refuse",
      headers: {},
      vram: {},
      device: "left",
      queue_timeout_ms: 3600000,
      attempt_timeout_ms: 1800000,
      stall_timeout_ms: 5000,
    });
    expect(config.backends.two).toMatchObject({
      device: "right",
      stall_timeout_ms: 7,
      concurrency: 2,
      when_down: "queue",
    });
  });

  test("keeps the order of backends and leaves the plugin's own settings to its schema", () => {
    const { config } = load(
      "backends:\n  zeta: {use: x, model: m}\n  alpha: {use: y}\n  mid: {use: z}\n",
    );
    expect(Object.keys(config.backends)).toEqual(["zeta", "alpha", "mid"]);
    expect(config.backends.zeta).not.toHaveProperty("model");
  });

  test("may have sections whose lines are all comments", () => {
    const { config, problems } = load("http:\n  # port: 1\nbackends:\ndevices:\n  gpu7:\n");
    expect(problems).toEqual([]);
    expect(config.http.port).toBe(1301);
    expect(config.devices).toEqual({ gpu7: PLAIN_DEVICE });
  });

  test("may repeat a part by anchor", () => {
    const { config, problems } = load(
      "backends:\n  a: &same {use: x, concurrency: 3}\n  b: *same\n",
    );
    expect(problems).toEqual([]);
    expect(config.backends.b?.concurrency).toBe(3);
  });

  test("finds its data folder from Switchyard's own folder, from home, or absolutely", () => {
    const folderOf = (folder: string) =>
      load(`storage: {folder: "${folder}"}`).config.storage.folder;
    expect(folderOf("state/here")).toBe(join(project, "state", "here"));
    expect(folderOf("~/switchyard")).toBe(join(homedir(), "switchyard"));
    expect(folderOf("/srv/switchyard")).toBe("/srv/switchyard");
  });

  test("tells the line of any path, or of the closest part that it has", () => {
    const { line } = load("http:\n  port: 1\nbackends:\n  a:\n    use: x\n");
    expect(line(["backends", "a", "use"])).toBe(5);
    expect(line(["backends", "a", "url"])).toBe(4);
    expect(line(["storage"])).toBeUndefined();
  });
});

describe("A wrong file", () => {
  test("tells all of its mistakes at once, each with its line, key and the nearest name", () => {
    const wrong = `http:
  port: abc
  hots: 0.0.0.0
log:
  level: warning
jobs:
  max_pending: 0
drain_timeout_ms: 5
backends:
  comfyui:
    use: comfyui
    device: gpu1
    url: http://me:hunter2@host
    devise: gpu0
  ollama:
    url: localhost:11434
    concurrency: 1.5
  ollama:
    use: ollama
`;
    const loaded = load(wrong);
    expect(told(loaded)).toEqual([
      '2 http.port: expected an integer between 0 and 65535, got "abc"',
      "3 http.hots: unknown key; did you mean `host`?",
      '5 log.level: expected one of debug, info, warn, error, got "warning"; did you mean `warn`?',
      "7 jobs.max_pending: expected an integer of at least 1, got 0",
      "8 drain_timeout_ms: unknown key; did you mean `jobs.drain_timeout_ms`?",
      '12 backends.comfyui.device: unknown device "gpu1"; did you mean `gpu0`?',
      "13 backends.comfyui.url: a URL must not carry a user name or password; put the credential in `headers`",
      expect.stringMatching(/^15 backends\.ollama\.use: required, but missing: Plugin: /),
      "17 backends.ollama.concurrency: expected an integer between 1 and 1024, got 1.5",
      "18 backends.ollama: given twice, first on line 15; keep one of them",
    ]);
    expect(told(loaded.backend("comfyui", {}))).toEqual([
      "14 backends.comfyui.devise: unknown key; did you mean `device`?",
    ]);
    const printed = formatProblems(join(process.cwd(), "config/gateway.yaml"), loaded.problems);
    const lines = printed.split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[1]).toBe("config/gateway.yaml:3: http.hots: unknown key; did you mean `host`?");
    expect(lines[10]).toMatch(/^10 problems\. .*config\/gateway\.example\.yaml/);
    expect(printed).not.toContain("hunter2");
  });

  test("still gives a usable config for the checks that follow", () => {
    const { config } = load("http: 5\ndevices: {}\nbackends: {a: {use: x, url: 7}, b: {}}\n");
    expect(config.http.port).toBe(1301);
    expect(config.devices).toEqual({ gpu0: PLAIN_DEVICE });
    expect(Object.keys(config.backends)).toEqual(["a"]);
    expect(config.backends.a?.url).toBeUndefined();
  });

  test("leaves a wrong url out, so that nothing is opened with it", () => {
    const loaded = load("backends: {a: {use: x, url: 'ftp://b'}, c: {use: x, url: 'http://d'}}\n");
    expect(told(loaded)).toEqual([
      '1 backends.a.url: expected a URL with http:// or https:// such as http://127.0.0.1:8188, got "ftp://b"',
    ]);
    expect(loaded.config.backends.a).not.toHaveProperty("url");
    expect(loaded.config.backends.c?.url).toBe("http://d");
  });

  test("hears about header names that no request can carry", () => {
    const loaded = load(`
backends:
  a:
    use: x
    headers:
      X-Right_1: fine
      X Wrong: hunter2
      "X-Wrong:": hunter2
`);
    const problem = "not a header's name; use a-z, 0-9 and -";
    expect(told(loaded)).toEqual([
      `7 backends.a.headers.X Wrong: ${problem}`,
      `8 backends.a.headers.X-Wrong:: ${problem}`,
    ]);
  });

  test("hears about YAML itself in plain words, together with what else is wrong", () => {
    const lines = told(load("http:\n\tport: 1\nlog: {level: loud}\nauth:\n  a b\n  c: 1\n"));
    expect(lines[0]).toBe("2 : not valid YAML: a tab in the indentation; use spaces");
    expect(lines[1]).toMatch(/^3 log\.level: /);
    expect(lines[2]).toMatch(/^5 : not valid YAML: expected `name: value`, got `a b`/);
    expect(lines).toHaveLength(3);
  });

  test.each([
    ["http: {port: ${PORT}}\n", /^1 : not valid YAML: inside \[ \] or \{ \} write "\$\{NAME\}"/],
    ["http:\n  host: a: b\n", /^2 : not valid YAML: a second colon in the value; put .* quotes/],
    ["http:\n  host: x\n port: 1\n", /^3 : not valid YAML: the indentation/],
    ['log:\n  level: "info\n', /not valid YAML: a quote that was opened above is not closed/],
    ["http:\n---\nlog:\n", /^2 : not valid YAML: `---` starts a second document/],
    ["http:\n  host: *me\n", /^2 http.host: no anchor &me before it; .* quotes/],
    ["- a\n- b\n", /^- : expected settings, each as `name: value`, got a list/],
    ['http:\n  port: "80"\n', /^2 http.port: .* got "80"; remove the quotes/],
    ["http:\n  host: 5\n", /^2 http.host: expected text, got 5; put it in quotes/],
    ["http:\n  host:\n", /^2 http.host: expected text, got nothing/],
    ["http:\n  docs: yes\n", /^2 http.docs: expected true or false, got "yes"/],
    ["http:\n  allowed_hosts: a\n", /^2 http.allowed_hosts: expected a list, got "a"; write it as/],
    [
      "http:\n  allowed_hosts: [a:80]\n",
      /^2 http.allowed_hosts\[0\]: expected a host name without/,
    ],
    ['http:\n  allowed_origins: ["*"]\n', /^2 http.allowed_origins\[0\]: \* is not accepted/],
    ["http:\n  allowed_origins: [https://a.b/]\n", /did you mean `https:\/\/a\.b`\?/],
    ["http:\n  trusted_proxies:\n    - 10.0.0.0/33\n", /^3 http.trusted_proxies\[0\]: expected an/],
    ["devices: {}\n", /^1 devices: empty; give at least one/],
    ["backends:\n  My GPU: {use: x}\n", /^2 backends.My GPU: not a valid name here; use a-z/],
    ["backends:\n  a: {use: x, url: ftp://h}\n", /http:\/\/ or https:\/\//],
    ["backends:\n  a: {use: x, url: http://h/?key=1}\n", /must not contain \? or #/],
    ["backends:\n  a: {use: x, headers: {X-Team: 5}}\n", /got a number; put it in quotes/],
    ["__proto__: {port: 1}\n", /^1 __proto__: unknown key/],
  ])("%j is refused in words that help", (text, message) => {
    const lines = told(load(text));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
  });

  test("cannot fill the memory by anchors that multiply", () => {
    const levels = Array.from({ length: 20 }, (_, level) => {
      const before = level === 0 ? "1" : `*a${level - 1}`;
      return `a${level}: &a${level} [${Array(9).fill(before).join(", ")}]`;
    });
    expect(told(load(levels.join("\n"))).join("\n")).toContain("more than 100 uses of anchors");
  });

  test("that is missing says so, with what to do", () => {
    const { problems, config } = loadConfig({ path: "/nowhere/gateway.yaml", env: {} });
    expect(config.http.port).toBe(1301);
    expect(formatProblems("/nowhere/gateway.yaml", problems)).toMatch(
      /^\/nowhere\/gateway\.yaml: no such file; .*SWITCHYARD_CONFIG\n1 problem\. /,
    );
  });

  test("that cannot be read says so", () => {
    const { problems } = loadConfig({ path: import.meta.dir, env: {} });
    expect(problems[0]?.message).toMatch(/^cannot be read \(EISDIR\)/);
  });
});

test("The file is config/gateway.yaml of the project unless SWITCHYARD_CONFIG says otherwise", () => {
  expect(configPath({})).toBe(join(project, "config", "gateway.yaml"));
  expect(configPath({ SWITCHYARD_CONFIG: "/etc/switchyard.yaml" })).toBe("/etc/switchyard.yaml");
  expect(configPath({ SWITCHYARD_CONFIG: "" })).toBe(join(project, "config", "gateway.yaml"));
});
