// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration's own syntax.
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { formatProblems } from "../../../core/config/mod.ts";
import { inFolder, load, told } from "./file.ts";

const withUrl = (url: string) => `backends:\n  a:\n    use: x\n    url: ${url}\n`;

describe("${NAME} in a value", () => {
  test("takes the environment's value, alone or inside other text, several times", () => {
    const text = withUrl("http://${HOST_NAME}:${PORT_NUMBER}/x");
    const { config, problems } = load(text, { HOST_NAME: "gpu.lan", PORT_NUMBER: "81" });
    expect(problems).toEqual([]);
    expect(config.backends.a?.url).toBe("http://gpu.lan:81/x");
  });

  test("takes the default when the variable is not set or empty", () => {
    const text = withUrl("${URL_OF_A:-http://localhost:1}");
    expect(load(text).config.backends.a?.url).toBe("http://localhost:1");
    expect(load(text, { URL_OF_A: "" }).config.backends.a?.url).toBe("http://localhost:1");
    expect(load(text, { URL_OF_A: "http://b" }).config.backends.a?.url).toBe("http://b");
  });

  test("may have an empty default", () => {
    const { settings } = load('backends: {a: {use: x, note: "${NOTE:-}"}}').backend("a", {});
    expect(settings).toEqual({});
    expect(
      load('backends: {a: {use: x, headers: {A: "x${N:-}"}}}').config.backends.a?.headers,
    ).toEqual({ A: "x" });
  });

  test("is a problem with line, key and name when nothing gives a value, and only one", () => {
    expect(told(load("http:\n  port: ${PORT_NUMBER}\n"))).toEqual([
      "2 http.port: the environment variable PORT_NUMBER is not set; set it, or write ${PORT_NUMBER:-default}",
    ]);
  });

  test("is reported for every variable that is missing", () => {
    expect(told(load(withUrl("http://${ONE}/${TWO}")))).toHaveLength(2);
  });

  test("becomes a number or true/false where the schema wants one", () => {
    const text = 'http: {port: "${P}", docs: "${D}"}\nlog: {level: "${L:-debug}"}\n';
    const { config, problems } = load(text, { P: "8080", D: "false" });
    expect(problems).toEqual([]);
    expect(config.http.port).toBe(8080);
    expect(config.http.docs).toBe(false);
    expect(config.log.level).toBe("debug");
  });

  test("stays text where the schema wants text", () => {
    const { config, problems } = load('backends: {a: {use: x, headers: {N: "${N}"}}}', { N: "5" });
    expect(problems).toEqual([]);
    expect(config.backends.a?.headers).toEqual({ N: "5" });
  });

  test("says which variable had the wrong value", () => {
    expect(told(load("http:\n  port: ${P}\n", { P: "high" }))).toEqual([
      '2 http.port: expected an integer between 0 and 65535, got "high" (from ${P})',
    ]);
  });

  test("never shows the value of a secret in a message", () => {
    const loaded = load("http:\n  port: ${API_TOKEN}\n", { API_TOKEN: "hunter2hunter2" });
    expect(told(loaded)[0]).toContain("got the value of ${API_TOKEN}");
    expect(told(loaded).join()).not.toContain("hunter2");
  });

  test("can never add a line or a key to the file", () => {
    const evil = "x\nhttp:\n  port: 1\n# ${OTHER}";
    const { config, problems } = load('backends: {a: {use: x, headers: {A: "${E}"}}}', { E: evil });
    expect(problems).toEqual([]);
    expect(config.http.port).toBe(1301);
    expect(config.backends.a?.headers.A).toBe(evil);
  });

  test("can be written literally with $${", () => {
    const { config, problems } = load('backends: {a: {use: x, headers: {A: "$${B} $5 $$"}}}');
    expect(problems).toEqual([]);
    expect(config.backends.a?.headers.A).toBe("${B} $5 $$");
  });

  test.each(["${1ST}", "${A B}", "${}", "${OPEN"])("is refused when malformed: %s", (value) => {
    expect(told(load(`http:\n  host: "${value}"\n`))).toEqual([
      expect.stringMatching(/^2 http\.host: `.*` is neither .* nor .*; write \$\$\{/),
    ]);
  });

  test("is left alone in keys and comments", () => {
    const { config } = load('# ${NOPE}\nbackends: {a: {use: x, headers: {"${K}": v}}}');
    expect(config.backends.a?.headers).toEqual({ "${K}": "v" });
  });

  test("is read from the file that NAME_FILE names, when NAME is not set", () => {
    inFolder((folder) => {
      const file = join(folder, "token");
      writeFileSync(file, "from-a-file\n");
      const text = 'backends: {a: {use: x, headers: {A: "${T}"}}}';
      expect(load(text, { T_FILE: file }).config.backends.a?.headers.A).toBe("from-a-file");
      expect(load(text, { T: "direct", T_FILE: file }).config.backends.a?.headers.A).toBe("direct");
      const missing = load(text, { T_FILE: join(folder, "no") });
      expect(told(missing)).toEqual([
        expect.stringMatching(/the file that T_FILE names cannot be/),
      ]);
    });
  });
});

describe("The environment", () => {
  test("wins over the file for host, port and data folder", () => {
    const env = { SWITCHYARD_HOST: "0.0.0.0", SWITCHYARD_PORT: "0", SWITCHYARD_DATA: "here" };
    const { config, problems } = load("http: {host: ::1, port: 5, docs: false}\n", env);
    expect(problems).toEqual([]);
    expect(config.http).toMatchObject({ host: "0.0.0.0", port: 0, docs: false });
    expect(config.storage.folder).toBe(resolve("here"));
  });

  test("needs no section in the file", () => {
    const { config, problems } = load("", { SWITCHYARD_PORT: "7" });
    expect(problems).toEqual([]);
    expect(config.http).toMatchObject({ host: "127.0.0.1", port: 7 });
  });

  test("wins even where the file's own value is wrong or its variable missing", () => {
    const text = "http:\n  port: ${NOT_SET:-abc}\n";
    expect(load(text, { SWITCHYARD_PORT: "7" }).config.http.port).toBe(7);
    expect(load(text, { SWITCHYARD_PORT: "7" }).problems).toEqual([]);
  });

  test("counts as not set when empty", () => {
    const env = { SWITCHYARD_HOST: "", SWITCHYARD_PORT: "", SWITCHYARD_DATA: "" };
    const { config, problems } = load("", env);
    expect(problems).toEqual([]);
    expect(config.http.port).toBe(1301);
  });

  test("is named when it is wrong, instead of a line", () => {
    const { problems } = load("http:\n  port: 5\n", { SWITCHYARD_PORT: "70000" });
    expect(formatProblems("/etc/gateway.yaml", problems).split("\n")[0]).toBe(
      'environment: SWITCHYARD_PORT: expected an integer between 0 and 65535, got "70000"',
    );
  });

  test("does not hide that a section is something else", () => {
    expect(told(load("http: 5\n", { SWITCHYARD_PORT: "7" }))[0]).toMatch(
      /^1 http: expected settings/,
    );
  });
});

describe("Secrets", () => {
  const text = `
http:
  host: \${BIND}
backends:
  a:
    use: x
    url: http://\${GPU_HOST}:1
    password: \${OPAQUE}
    folder: \${HOME}/models
    headers:
      Authorization: Bearer \${TICKET}
      X-Api-Key: written-in-file
      X-Team: painters
    constructor: \${ODD}
`;
  const env = {
    BIND: "127.0.0.1",
    GPU_HOST: "gpu.lan.example",
    OPAQUE: 'quo"ted-secret',
    ODD: "odd-secret",
    HOME: "/home/somebody",
    TICKET: "ticket-value",
  };

  test("are collected for the log: headers, backends' own settings, names that say so", () => {
    const { secrets } = load(text, env);
    expect(secrets).toContain("ticket-value");
    expect(secrets).toContain("written-in-file");
    expect(secrets).toContain("odd-secret");
    expect(secrets).toContain('quo"ted-secret');
    expect(secrets).toContain('quo\\"ted-secret');
  });

  test("are not addresses and folders, which the log needs", () => {
    const { secrets } = load(text, env);
    for (const open of [env.BIND, env.GPU_HOST, env.HOME]) expect(secrets).not.toContain(open);
  });

  test("are warned about where they stand in the file", () => {
    const { warnings, problems } = load(text, env);
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      {
        line: 12,
        key: "backends.a.headers.X-Api-Key",
        message:
          "a secret stands in the file; put it in an environment variable and write ${A_X_API_KEY}",
      },
    ]);
  });
});
