/** A plugin as an npm package: written, packed, installed from the tarball, and used. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Fake } from "switchyard/sdk/testing";
import { startFakeTemplateServer } from "../../scripts/new-plugin/typescript/fake.ts";
import { writePackage } from "../../scripts/new-plugin.ts";
import { type Gateway, RUNTIME, startGateway, temporaryFolder } from "../gateway.ts";

const REPOSITORY = resolve(import.meta.dir, "../..");
const PACKAGE = "switchyard-plugin-lamp-post";
const folder = temporaryFolder();
let fake: Fake;
let gateway: Gateway;

async function run(words: readonly string[], cwd: string): Promise<void> {
  // The pinned Bun first, which the package's own script calls by name.
  const bun = resolve(process.execPath, "..");
  const env = { ...process.env, PATH: `${bun}:${process.env.PATH}` };
  const child = Bun.spawn([...words], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const output =
    (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  if ((await child.exited) !== 0) throw new Error(`${words.join(" ")}: ${output}`);
}

beforeAll(async () => {
  const written = join(folder, "lamp-post");
  await writePackage("lamp-post", written);
  // Its own fake is this one under another name.
  fake = await startFakeTemplateServer();
  await run(["npm", "pack", "--silent"], written);
  const [tarball = ""] = readdirSync(written).filter((name) => name.endsWith(".tgz"));
  const install = ["npm", "install", "--silent", "--offline", "--no-audit", "--no-fund"];
  await run([...install, "--prefix", folder, join(written, tarball)], folder);
  if (RUNTIME === "deno") symlinkSync(REPOSITORY, join(folder, "node_modules", "switchyard"));
  // What is used is what was installed.
  rmSync(written, { recursive: true });
  mkdirSync(written);
  const config = `backends: { lamp: { use: ${PACKAGE}, url: "${fake.url}" } }\n`;
  gateway = await startGateway({ folder, config });
}, 60_000);

afterAll(async () => {
  await gateway?.remove();
  await fake?.stop();
});

test(`a package that was packed and installed from a tarball does the work, on ${RUNTIME}`, async () => {
  const { data } = await gateway.call("GET", "/backends");
  expect(data).toMatchObject([{ name: "lamp", plugin: PACKAGE, status: "ready" }]);
  const body = { prompt: "a lamp post in the fog" };
  const { status, data: job } = await gateway.call("POST", "/generate/image", body);
  expect(status).toBe(202);
  expect(await gateway.ended(job.job_id)).toMatchObject({ status: "completed", backend: "lamp" });
  const { data: list } = await gateway.call("GET", `/jobs/${job.job_id}/artifacts`);
  expect(list.items).toMatchObject([{ media_type: "image/png" }]);
});
