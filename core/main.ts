/** Process entry: reads the command, starts the kernel, handles signals. */
import { join, sep } from "node:path";
import { banner } from "./banner.ts";
import { EXIT, runCli } from "./cli/mod.ts";
import { systemClock } from "./clock.ts";
import { configPath, loadConfig } from "./config/mod.ts";
import { GatewayError } from "./errors.ts";
import { currentBackend } from "./host/mod.ts";
import { type Kernel, startKernel } from "./kernel.ts";
import { messageOf } from "./log.ts";
import { BackendError } from "./sdk/errors.ts";

const FSYNC_FAILED = 70;
/** Mistakes that a person must mend; the message is enough, a stack would only hide it. */
const MENDABLE = new Set([
  "ConfigError",
  "UnusableStoreError",
  "UnusableAdminKeyError",
  "ListenError",
]);

/** SIGHUP too: whoever closes the terminal wants the gateway to end, in order. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
/**
 * A service manager signals the whole group, and a launcher passes the signal on: that is one wish.
 */
const SAME_REQUEST_MS = 300;

const OWN_CODE = import.meta.dirname + sep;

const { env } = process;
const path = configPath(env);

async function start(): Promise<number> {
  const stopAsked = listenForSignals();
  const started = surviveStrayErrors();
  const kernel = await startKernel({ configPath: path, env, clock: systemClock, die });
  started(kernel);
  process.stdout.write(banner(factsOf(kernel)));
  const signal = await stopAsked;
  kernel.log.info("stopping; send the signal again to stop at once", { signal });
  await kernel.stop().catch((error) => die(messageOf(error)));
  return EXIT.ok;
}

/** The first signal that asks to stop. A second one ends the process at once. */
function listenForSignals(): Promise<string> {
  return new Promise((resolve) => {
    let firstMs: number | undefined;
    for (const signal of STOP_SIGNALS) {
      process.on(signal, () => {
        firstMs ??= systemClock.monotonicMs();
        const sinceMs = systemClock.monotonicMs() - firstMs;
        if (sinceMs > SAME_REQUEST_MS) process.exit(EXIT.failed);
        resolve(signal);
      });
    }
  });
}

/**
 * A plugin that throws where nobody waits makes its own backend unwell, and nobody else's. Errors
 * of the start are judged when the returned function says whose plugins there are.
 */
function surviveStrayErrors(): (kernel: Kernel) => void {
  const early: { readonly error: unknown; readonly running: string | undefined }[] = [];
  let kernel: Kernel | undefined;

  function judge({ host, log }: Kernel, error: unknown, running: string | undefined): void {
    const backend = running ?? host.blame(error);
    log.error("a stray error", { backend, error: messageOf(error) });
    if (backend !== undefined) host.distrust(backend, messageOf(error));
    else if (isOwn(error)) die(`an error that no plugin caused: ${messageOf(error)}`);
  }

  const stray = (error: unknown) => {
    const running = currentBackend();
    if (kernel) judge(kernel, error, running);
    else early.push({ error, running });
  };
  process.on("uncaughtException", stray);
  process.on("unhandledRejection", stray);
  return (started) => {
    kernel = started;
    for (const { error, running } of early.splice(0)) judge(started, error, running);
  };
}

/**
 * Whether the gateway's own code failed, so that its state cannot be trusted. A stray error without
 * a frame of ours (a text that was thrown) came from outside, and one that we threw on purpose (a
 * plugin forgot to wait for a request or a step) says nothing about our state.
 */
function isOwn(error: unknown): boolean {
  if (BackendError.is(error) || error instanceof GatewayError) return false;
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const frames = stack.split("\n").filter((line) => line.includes(OWN_CODE));
  return frames.some((line) => !line.includes(join(OWN_CODE, "sdk")));
}

function factsOf({ url, folder, host, auth, config, devices }: Kernel) {
  return {
    url,
    devices,
    folder,
    configPath: path,
    docs: config.http.docs,
    firstKey: { open: auth.isBootstrapOpen(), windowMs: config.auth.bootstrap_window_ms },
    backends: host.backends.map(({ name, title, settings, state }) => ({
      name,
      title,
      url: settings.url,
      ...state,
    })),
  };
}

function die(reason: string): never {
  process.stderr.write(`switchyard: ${reason}\n`);
  process.exit(FSYNC_FAILED);
}

try {
  const code = await runCli(process.argv.slice(2), {
    get folder() {
      return loadConfig({ path, env }).config.storage.folder;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    start,
  });
  process.exit(code);
} catch (error) {
  const known = error instanceof Error && MENDABLE.has(error.name);
  const text = known ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`switchyard: ${text}\n`);
  process.exit(known ? EXIT.unusableStore : EXIT.failed);
}
