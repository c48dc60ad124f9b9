// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the configuration's own syntax.
import { describe, expect, test } from "bun:test";
import { load, told } from "./file.ts";

const backend = (lines: string) => `backends:\n  a:\n    use: x\n    process:\n${lines}`;

describe("Devices", () => {
  test("may be two GPUs by UUID, one of another host, one declared and one simulated", () => {
    const { config, problems } = load(`
devices:
  left: { id: GPU-aaaa, headroom_mib: 1024, heavy: 2 }
  right: { id: GPU-bbbb, probe: nvidia-smi }
  far: { id: GPU-aaaa, probe_via: [ssh, -T, studio2] }
  declared: { memory_mib: 8192, probe: none }
  lane: { probe: none }
  own: { probe_command: [/usr/local/bin/look, --json], probe_via: [ssh, studio3] }
  pretend: { memory_mib: 24576, probe: simulated, simulated_folder: ./gpu }
`);
    expect(problems).toEqual([]);
    expect(config.devices.left).toEqual({
      id: "GPU-aaaa",
      headroom_mib: 1024,
      heavy: 2,
      probe: "auto",
    });
    expect(config.devices.far?.probe_via).toEqual(["ssh", "-T", "studio2"]);
    expect(config.devices.pretend?.simulated_folder).toBe("./gpu");
  });

  test("tell all of their mistakes at once, each with its line", () => {
    const wrong = `devices:
  a: { probe: simulated }
  b: { simulated_folder: ./b }
  c:
    probe: nvidia-smi
    probe_command: [look]
  d:
    memory_mib: 400
  e:
    memory_mib: 4096
    headroom_mib: 4096
  f:
    id: GPU-AAAA
  g:
    id: gpu-aaaa
  h: { probe: simulated, simulated_folder: "~/gpu" }
  i: { probe: nvidia }
  j: { id: 0 }
  k: { heavy: 0 }
`;
    expect(told(load(wrong))).toEqual([
      "2 devices.a.simulated_folder: is needed for `probe: simulated`; name a folder",
      "3 devices.b.simulated_folder: belongs to `probe: simulated`; add that, or remove the folder",
      "6 devices.c.probe_command: takes the place of `probe`; remove it or `probe: nvidia-smi`",
      "7 devices.d.headroom_mib: 512 MiB leave nothing of memory_mib (400); lower it",
      "11 devices.e.headroom_mib: 4096 MiB leave nothing of memory_mib (4096); lower it",
      "15 devices.g.id: the same as that of devices.f; a GPU stands here only once",
      '16 devices.h.simulated_folder: ~ means nothing here; write "${HOME}/gpu", or the full path',
      '17 devices.i.probe: expected one of auto, nvidia-smi, amd-smi, rocm-smi, simulated, none, got "nvidia"; did you mean `nvidia-smi`?',
      "18 devices.j.id: expected text of letters, digits and : . _ -, got 0; put it in quotes",
      "19 devices.k.heavy: expected an integer between 1 and 64, got 0",
    ]);
  });

  test("may name one GPU index on several hosts, and a folder only once", () => {
    const onHosts = `devices:
  a: { id: "0" }
  b: { id: "0", probe_via: [ssh, studio2] }
  c: { id: "0", probe_via: [ssh, studio2] }
  d: { probe: simulated, simulated_folder: ./same }
  e: { probe: simulated, simulated_folder: ./same }
`;
    expect(told(load(onHosts))).toEqual([
      "4 devices.c.id: the same as that of devices.b; a GPU stands here only once",
      "6 devices.e.simulated_folder: the same as that of devices.d; a GPU stands here only once",
    ]);
  });

  test("hear about a folder that is missing once, even where it cannot be read", () => {
    const lines = told(load("devices:\n  a: { probe: simulated, simulated_folder: 5 }\n"));
    expect(lines).toEqual(["2 devices.a.simulated_folder: expected text, got 5; put it in quotes"]);
  });
});

describe("vram.policy", () => {
  test.each(["fair", "fifo", "exclusive", "./mine.ts", "/etc/mine.ts"])("may be %s", (policy) => {
    const { config, problems } = load(`vram: {policy: ${policy}}`);
    expect(problems).toEqual([]);
    expect(config.vram.policy).toBe(policy);
  });

  const choice = "expected fair, fifo, exclusive, or a path such as ./policy.ts";
  test.each([
    ["fiar", `${choice}, got "fiar"; did you mean \`fair\`?`],
    ["lru", `${choice}, got "lru"`],
    ["mine.ts", "the path of a policy starts with ./ or /; did you mean `./mine.ts`?"],
    ["../mine", "the path of a policy starts with ./ or /; did you mean `./../mine`?"],
    ["~/mine.ts", '~ means nothing here; write "${HOME}/mine.ts", or the full path'],
  ])("is refused in words that help: %s", (policy, message) => {
    expect(told(load(`vram:\n  policy: ${policy}\n`))).toEqual([`2 vram.policy: ${message}`]);
  });
});

describe("A backend's process", () => {
  test("has a default for all but the way to start it", () => {
    const { config, problems } = load(backend("      command: [python, main.py]\n"));
    expect(problems).toEqual([]);
    expect(config.backends.a?.process).toEqual({
      command: ["python", "main.py"],
      env: {},
      systemd_user: false,
      start: "on_demand",
      ready_timeout_ms: 300000,
      stop_timeout_ms: 15000,
      stop_with_gateway: true,
      max_restarts: 5,
      restart_window_ms: 600000,
    });
  });

  test.each([
    "command: [/opt/a/run]",
    "command: [run, --text, 'a && b | c']",
    "command: [run]\n      cwd: ./there\n      env: { PORT: '1' }",
    "command: [run]\n      idle_stop_ms: 1",
    "systemd: a.service\n      systemd_user: true",
    "systemd: media\\x2dserver@1.service",
    "docker: a_container.1\n      start: always",
  ])("may be %j", (lines) => {
    expect(told(load(backend(`      ${lines}\n`)))).toEqual([]);
  });

  const process = "backends.a.process";
  test.each([
    ["start: always", `4 ${process}: expected one of command, systemd and docker; there is none`],
    [
      "command: [a]\n      docker: b\n      systemd_user: true",
      `4 ${process}: expected one of command, systemd and docker; got command and docker`,
    ],
    [
      "systemd: a\n      cwd: /b",
      `6 ${process}.cwd: belongs to \`command\`; write WorkingDirectory= into the unit`,
    ],
    [
      "systemd: a\n      env: {A: b}",
      `6 ${process}.env: belongs to \`command\`; write Environment= into the unit`,
    ],
    [
      "docker: a\n      env: {A: b}",
      `6 ${process}.env: belongs to \`command\`; a container gets its own when it is made`,
    ],
    [
      "docker: a\n      systemd_user: true",
      `6 ${process}.systemd_user: belongs to \`systemd\`; remove it`,
    ],
    [
      "command: [a]\n      start: always\n      idle_stop_ms: 5",
      `7 ${process}.idle_stop_ms: contradicts \`start: always\`; remove one of them`,
    ],
    [
      "command: [python main.py]",
      `5 ${process}.command: no shell splits this; give every word an entry: [python, main.py, --listen]`,
    ],
    [
      'command: [cd, /opt, "&&", run]',
      `5 ${process}.command[2]: no shell reads this, so "&&" would go to the program; put it into a script`,
    ],
    [
      "command: [~/venv/bin/python]",
      `5 ${process}.command[0]: ~ means nothing here; write "\${HOME}/venv/bin/python", or the full path`,
    ],
    [
      "command: [a]\n      cwd: ~/b",
      `6 ${process}.cwd: ~ means nothing here; write "\${HOME}/b", or the full path`,
    ],
    [
      "command: python",
      `5 ${process}.command: expected a list between 1 and 64 entries, got "python"; write it as [value]`,
    ],
    ["command: [a, 8188]", `5 ${process}.command[1]: expected text, got 8188; put it in quotes`],
    [
      "command: [a]\n      env: {A: 12345678}",
      `6 ${process}.env.A: expected text, got a number; put it in quotes`,
    ],
    [
      "command: [a]\n      env: {A-B: c}",
      `6 ${process}.env.A-B: not a valid name here; use letters, digits and _, without a digit first`,
    ],
  ])("is refused in words that help: %j", (lines, message) => {
    expect(told(load(backend(`      ${lines}\n`)))).toEqual([message]);
  });

  test.each(["systemd: --now", "systemd: a/b", "docker: --all", "docker: a b"])(
    "never names what a tool could take for an option: %s",
    (line) => {
      const [, way] = /^(\w+)/.exec(line)!;
      expect(told(load(backend(`      ${line}\n`)))).toEqual([
        expect.stringMatching(new RegExp(`^5 backends\\.a\\.process\\.${way}: expected text`)),
      ]);
    },
  );

  test("is not started by two backends, unless one of them is switched off", () => {
    const two = (more: string) => `backends:
  a: &same { use: x, process: { command: [run], env: { PORT: "1" } } }
  b: *same
  c: { use: x, process: { command: [run], env: { PORT: "2" } } }
  d: { use: x, process: { docker: one } }
  e: { use: x, process: { docker: one }${more} }
`;
    const message = (name: string) =>
      `starts the same server as backends.${name}; keep it at one of them`;
    expect(told(load(two("")))).toEqual([
      expect.stringContaining(`backends.b.process: ${message("a")}`),
      expect.stringContaining(`backends.e.process: ${message("d")}`),
    ]);
    expect(told(load(two(", enabled: false")))).toHaveLength(1);
  });

  test("warns about credentials that stand in its environment, and not about look-alikes", () => {
    const text = backend(`      command: [run]
      env:
        HF_TOKEN: hf_abcdefgh
        OPENAI_API_KEY: \${FROM_OUTSIDE}
        TOKENIZERS_PARALLELISM: "false"
        MAX_TOKENS: "512"
`);
    expect(load(text, { FROM_OUTSIDE: "abc" }).warnings).toEqual([
      {
        line: 7,
        key: "backends.a.process.env.HF_TOKEN",
        message:
          "a secret stands in the file; put it in an environment variable and write ${A_HF_TOKEN}",
      },
    ]);
  });

  test("keeps its environment out of the log: what comes from outside, and credentials", () => {
    const text = backend(`      command: [run, "\${MODELS}"]
      env:
        OPAQUE: \${TICKET}
        HF_TOKEN: hf_abcdefgh
        HOME_OF_MODELS: \${HOME}/models
        TOKENIZERS_PARALLELISM: "disabled"
`);
    const env = { MODELS: "/srv/models", TICKET: "ticket-value", HOME: "/home/somebody" };
    const { secrets } = load(text, env);
    expect([...secrets].sort()).toEqual(["hf_abcdefgh", "ticket-value"]);
  });

  test("never shows a value of its environment in a message", () => {
    const lines = told(load(backend("      command: [run]\n      env: { A: 123456789 }\n")));
    expect(lines.join()).not.toContain("123456789");
  });
});

describe("A backend's costs", () => {
  test("are given by model, each as far as the operator knows it", () => {
    const { config, problems } = load(`
backends:
  a:
    use: x
    vram:
      "llama3.1:8b": { resident_mib: 6200, working_mib: 0 }
      "*": { load_ms: 20000, run_ms: 45000 }
`);
    expect(problems).toEqual([]);
    expect(config.backends.a?.vram).toEqual({
      "llama3.1:8b": { resident_mib: 6200, working_mib: 0 },
      "*": { load_ms: 20000, run_ms: 45000 },
    });
  });

  test("are refused without a model, or under a wrong name", () => {
    const wrong = `backends:
  a:
    use: x
    vram:
      resident_mib: 6200
      "*": { resident: 5, load_ms: -1 }
`;
    expect(told(load(wrong))).toEqual([
      "5 backends.a.vram.resident_mib: not a valid name here; use a model's name or *, with its costs below it",
      "5 backends.a.vram.resident_mib: expected settings, each as `name: value`, got 6200",
      expect.stringMatching(/^6 backends\.a\.vram\.\*\.load_ms: expected an integer between 0 and/),
      "6 backends.a.vram.*.resident: unknown key; did you mean `resident_mib`?",
    ]);
  });
});
