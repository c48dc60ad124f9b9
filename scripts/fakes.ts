/**
 * Starts a stand-in for every backend on its real port, so that the whole gateway runs with no GPU
 * and no other server: `npm run fakes`, then `npm start` in a second terminal. A plugin's stand-in
 * is tests/fakes/<plugin>.ts, its port that of the plugin's default URL. Ctrl-C stops them all.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AnyPlugin } from "switchyard/sdk";
import type { Fake } from "switchyard/sdk/testing";

type StartFake = (options: { readonly port: number }) => Promise<Fake>;

const ROOT = join(import.meta.dir, "..");
const fakes: Fake[] = [];

for (const file of [...new Bun.Glob("plugins/*/plugin.ts").scanSync(ROOT)].sort()) {
  await startFor(file.split(/[\\/]/)[1] ?? "");
}
if (fakes.length === 0) {
  console.error("No stand-in could be started.");
  process.exit(1);
}
console.log(`
They are where the gateway looks unless gateway.yaml names other addresses. In a second terminal:

  npm start

Ctrl-C stops the stand-ins.`);
process.on("SIGINT", () => void stopAll());
process.on("SIGTERM", () => void stopAll());

async function startFor(name: string): Promise<void> {
  const path = join(ROOT, "tests", "fakes", `${name}.ts`);
  const { defaultUrl }: AnyPlugin = (await import(join(ROOT, "plugins", name, "plugin.ts")))
    .default;
  if (defaultUrl === undefined || !existsSync(path)) return;
  const start = starterIn(await import(path));
  if (start === undefined) return console.error(`  ${name}: ${path} exports no startFake function`);
  try {
    const fake = await start({ port: Number(new URL(defaultUrl).port) });
    fakes.push(fake);
    console.log(`  ${name.padEnd(12)} ${fake.url}`);
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
    const why = taken ? "the port is in use, perhaps by the real server" : String(error);
    console.error(`  ${name.padEnd(12)} not started at ${defaultUrl}: ${why}`);
  }
}

/** A fake's module exports one function named `startFake<Server>`. */
function starterIn(exports: Record<string, unknown>): StartFake | undefined {
  const name = Object.keys(exports).find((key) => key.startsWith("startFake"));
  return name === undefined ? undefined : (exports[name] as StartFake);
}

async function stopAll(): Promise<void> {
  await Promise.all(fakes.map((fake) => fake.stop()));
  process.exit(0);
}
