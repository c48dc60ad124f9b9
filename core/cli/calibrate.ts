/**
 * The command `calibrate`: has the running gateway run each capability's own example and shows what
 * it learned of memory and time. It goes through the API, so that a job of calibration waits its
 * turn like every other.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Clock } from "../clock.ts";
import { configPath, type Environment, loadConfig } from "../config/mod.ts";
import { messageOf } from "../log.ts";
import { type BackendRow, openRunningGateway, type RunningGateway } from "./calibrate-gateway.ts";
import { calibrationTable, type Result, remarks } from "./calibrate-table.ts";
import { runTrial } from "./calibrate-trial.ts";
import { parseDuration } from "./duration.ts";
import { CommandError, EXIT, type Output, PROGRAM, UsageError } from "./environment.ts";

export interface CalibrateEnvironment {
  readonly stdout: Output;
  /** Progress goes here, so that the table alone can be kept. */
  readonly stderr: Output;
  readonly clock: Clock;
  readonly env: Environment;
}

interface Wishes {
  readonly backend?: string;
  readonly url: string;
  readonly key: string;
  readonly runs: number;
  readonly limitMs: number;
}

const DEFAULT_RUNS = 3;
const MAX_RUNS = 100;
const DEFAULT_TIMEOUT = "30m";

const HELP = `Usage: ${PROGRAM} calibrate [backend] [options]

Runs the example of every kind of work that needs a GPU on the running gateway: first with its
model unloaded, then a few times with it. The gateway measures memory and time and keeps them.
Without a backend it goes through all of them. Jobs of others are not disturbed, but make the
times longer: do it when little else runs.

  --runs <n>         runs with the model loaded (default ${DEFAULT_RUNS}, at most ${MAX_RUNS})
  --timeout <30m>    longest wait for one job (default ${DEFAULT_TIMEOUT})
  --url <url>        the gateway (default: this machine, port as in gateway.yaml)
  --key-file <file>  holds an API key that may do the work and has the scope gpu:admin, such as one
                     with the preset operator (default: SWITCHYARD_API_KEY)
`;

/** Runs `calibrate <argv…>` and returns the exit code; it throws nothing. */
export async function runCalibrateCommand(
  argv: string[],
  environment: CalibrateEnvironment,
): Promise<number> {
  const { stdout, stderr } = environment;
  if (argv[0] === "help" || argv.includes("--help") || argv.includes("-h")) {
    stdout.write(HELP);
    return EXIT.ok;
  }
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new CommandError("Interrupted."));
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    return await calibrate(wishesIn(argv, environment), environment, stop.signal);
  } catch (error) {
    // A wait that was cut short rejects with an error of its own, whose cause is ours.
    const message = messageOf(stop.signal.aborted ? stop.signal.reason : error);
    const isUsage = error instanceof UsageError;
    stderr.write(`${message}\n${isUsage ? `See: ${PROGRAM} calibrate --help\n` : ""}`);
    return isUsage ? EXIT.usage : EXIT.failed;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

async function calibrate(
  wishes: Wishes,
  { stdout, stderr, clock }: CalibrateEnvironment,
  signal: AbortSignal,
): Promise<number> {
  const gateway = openRunningGateway(wishes);
  const backends = await chosen(gateway, wishes.backend);
  const results: Result[] = [];
  let failures = 0;
  for (const { name: backend, status, reason, work: works } of backends) {
    if (status === "down") {
      stderr.write(`${backend} is down, so it is left out: ${reason ?? "no reason was given"}\n`);
      continue;
    }
    for (const work of works) {
      const { capability } = work;
      const say = (line: string) => void stderr.write(`${backend} ${capability}: ${line}\n`);
      const { runs, limitMs } = wishes;
      const options = { gateway, backend, work, runs, limitMs, clock, signal, say };
      try {
        const trial = await runTrial(options);
        if (trial.kind === "measured") results.push({ backend, capability, trial });
        else if (trial.kind === "skipped") say(`left out: ${trial.reason}`);
      } catch (error) {
        signal.throwIfAborted();
        say(messageOf(error));
        failures++;
      }
    }
  }
  if (results.length === 0) {
    if (failures === 0) stderr.write("Nothing was run: no backend that works needs a GPU.\n");
    return EXIT.failed;
  }
  stdout.write(`\n${calibrationTable(results)}`);
  for (const remark of remarks(results, await gateway.devices())) stdout.write(`\n${remark}\n`);
  return failures > 0 ? EXIT.failed : EXIT.ok;
}

/** Those that compute on a device. */
async function chosen(gateway: RunningGateway, name?: string): Promise<readonly BackendRow[]> {
  const all = await gateway.backends();
  if (name === undefined) return all.filter(({ device }) => device !== null);
  const one = all.find((backend) => backend.name === name);
  const names = all.map((backend) => backend.name).join(", ");
  if (!one) throw new CommandError(`There is no backend "${name}"; there are ${names}`);
  if (one.device === null) throw new CommandError(`${one.title} needs no GPU`);
  return [one];
}

function wishesIn(argv: string[], { env }: CalibrateEnvironment): Wishes {
  const { values, positionals } = parse(argv);
  const [backend, ...more] = positionals;
  if (more.length > 0) throw new UsageError("Name one backend, or none for all of them");
  const runs = Number(values.runs ?? DEFAULT_RUNS);
  if (!Number.isInteger(runs) || runs < 1 || runs > MAX_RUNS) {
    throw new UsageError(`--runs "${values.runs}" is not a number from 1 to ${MAX_RUNS}`);
  }
  const limitMs = parseDuration(values.timeout ?? DEFAULT_TIMEOUT, "--timeout");
  return {
    ...(backend !== undefined && { backend }),
    runs,
    limitMs,
    key: keyIn(values["key-file"], env),
    url: values.url ?? localUrl(env),
  };
}

function parse(args: string[]) {
  const text = { type: "string" } as const;
  const options = { runs: text, timeout: text, url: text, "key-file": text };
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** Never from the command line itself, which every user of the machine can read. */
function keyIn(file: string | undefined, env: Environment): string {
  const key = file === undefined ? env.SWITCHYARD_API_KEY : readKey(file);
  if (key?.trim()) return key.trim();
  throw new UsageError(
    "A key is needed: --key-file <file>, or SWITCHYARD_API_KEY. " +
      `Make one with: ${PROGRAM} keys create --name calibrate --preset operator`,
  );
}

function readKey(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`--key-file "${file}" cannot be read: ${messageOf(error)}`);
  }
}

function localUrl(env: Environment): string {
  const { host, port } = loadConfig({ path: configPath(env), env }).config.http;
  if (port === 0) throw new UsageError("The gateway takes any free port: give its --url");
  const anyAddress = host === "0.0.0.0" || host === "::";
  const name = anyAddress ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
