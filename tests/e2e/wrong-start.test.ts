/** What a person meets whose settings cannot work: one message, exit code 78, and no stack. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { eventually, gatewayCommand, startGateway, temporaryFolder } from "../gateway.ts";

describe("A start that cannot work", () => {
  let folder: string;
  let taken: Server;
  beforeAll(async () => {
    folder = temporaryFolder();
    taken = createServer();
    await new Promise<void>((done) => taken.listen(0, "127.0.0.1", done));
  });
  afterAll(() => {
    taken.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(config: string, env: Record<string, string> = {}): string {
    const path = join(folder, "gateway.yaml");
    writeFileSync(path, config);
    const [command = "", ...args] = gatewayCommand();
    const ended = spawnSync(command, args, {
      env: {
        ...process.env,
        SWITCHYARD_CONFIG: path,
        SWITCHYARD_DATA: join(folder, "data"),
        SWITCHYARD_PORT: "0",
        ...env,
      },
      timeout: 20_000,
      encoding: "utf8",
    });
    expect([ended.status, ended.stderr]).toEqual([78, expect.not.stringContaining("    at ")]);
    return ended.stderr;
  }

  test("a wrong url is told with its line, beside the other mistakes", () => {
    const told = start(`backends:
  one: { use: comfyui, url: "127.0.0.1:8188" }
  two: { use: ollama, url: "ftp://example.org" }
  three: { use: olama }
`);
    expect(told).toContain("gateway.yaml:2: backends.one.url: expected a URL such as");
    expect(told).toContain("gateway.yaml:3: backends.two.url: expected a URL with http://");
    expect(told).toContain('did you mean "ollama"?');
    expect(told).toContain("3 problems.");
  }, 30_000);

  test("a data folder that is a file is named", () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    const told = start("backends: {}\n", { SWITCHYARD_DATA: file });
    expect(told).toContain(`The data folder ${file} cannot be used (EEXIST`);
    expect(told).not.toContain("Another gateway");
  }, 30_000);

  test("a lock that cannot be opened is not taken for another gateway", () => {
    const data = join(folder, "odd");
    mkdirSync(join(data, "lock"), { recursive: true });
    const told = start("backends: {}\n", { SWITCHYARD_DATA: data });
    expect(told).toContain(`The data folder ${data} cannot be used (`);
  }, 30_000);

  test("a taken port is named, with what to do", () => {
    const port = String((taken.address() as AddressInfo).port);
    const told = start("backends: {}\n", { SWITCHYARD_PORT: port });
    expect(told).toContain(`port ${port} on 127.0.0.1 is taken`);
    expect(told).toContain("set SWITCHYARD_PORT");
  }, 30_000);

  test("an address of another machine is named, with the settings that choose it", () => {
    const told = start("backends: {}\n", { SWITCHYARD_HOST: "192.0.2.1" });
    expect(told).toContain("cannot listen on 192.0.2.1");
    expect(told).toContain("SWITCHYARD_HOST");
  }, 30_000);
});

test("a file that is changed under a running gateway is checked with its plugins", async () => {
  const gateway = await startGateway({ config: "backends: { voice: { use: espeak } }\n" });
  const says = (text: string) => eventually(text, () => gateway.output().includes(text));
  const change = (text: string) => writeFileSync(join(gateway.folder, "gateway.yaml"), text);
  try {
    change("backends: { voice: { use: espeek } }\n");
    await says("backends.voice.use: no built-in plugin, file or installed package is called");
    change("backends: { voice: { use: espeak, langage: de } }\n");
    await says("backends.voice.langage: unknown key; did you mean `language`?");
    expect(gateway.output()).not.toContain("restart to apply it");
    change("backends: { voice: { use: espeak, language: de } }\n");
    await says("restart to apply it");
  } finally {
    await gateway.remove();
  }
}, 30_000);
