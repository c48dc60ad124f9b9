/**
 * Starts a stand-in for every backend on its real port, so that the whole gateway runs with no GPU
 * and no other server: `npm run fakes`, then `npm start` in a second terminal. A plugin's stand-in
 * is tests/fakes/<plugin>.ts, its port that of the plugin's default URL. Ctrl-C stops them all.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { AnyPlugin } from "switchyard/sdk";
import type { Fake } from "switchyard/sdk/testing";

const USAGE = `npm run fakes -- [options]

  --only <plugin>    this one alone; may be given several times
  --port <port>      instead of the plugin's own; 0 for any free one; with one --only
  --memory <folder>  a simulated device: models take room there while they are loaded
  --load-ms <ms>     how long a load takes
  --step-ms <ms>     how long a step of a picture takes
  --token-ms <ms>    how long a token takes
  --attached         end with whoever started it: when standard input ends
`;

/** Every stand-in takes what it knows of these. */
interface FakeOptions {
  readonly port: number;
  readonly memory?: { readonly folder: string };
  readonly loadMs?: number;
  readonly stepMs?: number;
  readonly tokenMs?: number;
}

type StartFake = (options: FakeOptions) => Promise<Fake>;

const ROOT = join(import.meta.dir, "..");
/** Described by the settings of each backend, so that there is no one server to stand in for. */
const GENERIC = new Set(["gradio", "rest-job", "subprocess"]);
const fakes: Fake[] = [];
const { only, port, shared, attached } = optionsFrom(process.argv.slice(2));

for (const file of [...new Bun.Glob("plugins/*/plugin.ts").scanSync(ROOT)].sort()) {
  const name = file.split(/[\\/]/)[1] ?? "";
  if (only.length === 0 ? !GENERIC.has(name) : only.includes(name)) await startFor(name);
}
if (fakes.length === 0) {
  console.error("No stand-in could be started.");
  process.exit(1);
}
console.log(`
They are where the gateway looks unless gateway.yaml names other addresses. In a second terminal:

  npm start

Ctrl-C stops the stand-ins.`);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void stopAll());
if (attached) process.stdin.on("end", () => void stopAll()).resume();

async function startFor(name: string): Promise<void> {
  const path = join(ROOT, "tests", "fakes", `${name}.ts`);
  const { defaultUrl }: AnyPlugin = (await import(join(ROOT, "plugins", name, "plugin.ts")))
    .default;
  if (defaultUrl === undefined || !existsSync(path)) return;
  const start = starterIn(await import(path));
  if (start === undefined) return console.error(`  ${name}: ${path} exports no startFake function`);
  try {
    const fake = await start({ ...shared, port: port ?? Number(new URL(defaultUrl).port) });
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

function optionsFrom(words: string[]) {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      args: words,
      options: {
        ...{ only: { ...text, multiple: true }, port: text, memory: text },
        ...{ "load-ms": text, "step-ms": text, "token-ms": text },
        ...{ attached: { type: "boolean" }, help: { type: "boolean" } },
      },
    });
    if (values.help) throw new Error("");
    const numbers = {
      port: numberIn(values.port, "port"),
      loadMs: numberIn(values["load-ms"], "load-ms"),
      stepMs: numberIn(values["step-ms"], "step-ms"),
      tokenMs: numberIn(values["token-ms"], "token-ms"),
    };
    const { port, ...durations } = numbers;
    const given = Object.entries(durations).filter(([, ms]) => ms !== undefined);
    const { only = [], memory, attached = false } = values;
    if (port !== undefined && only.length !== 1) throw new Error("--port needs one --only");
    const shared = { ...Object.fromEntries(given), ...(memory && { memory: { folder: memory } }) };
    return { only, port, shared, attached };
  } catch (error) {
    const { message } = error as Error;
    process.stderr.write(`${message}${message && "\n\n"}${USAGE}`);
    process.exit(message ? 64 : 0);
  }
}

function numberIn(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new Error(`--${option} "${text}" is not a whole number`);
}
