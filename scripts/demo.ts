/**
 * `npm run demo`: the whole gateway without a GPU. A simulated card of 24 GiB in a temporary folder,
 * stand-ins for ComfyUI and Ollama that hold its memory, and the real gateway over them. Prints what
 * to try; with `--load` it sends a mix of jobs and shows who is on the card and who waits. Ctrl-C
 * ends everything and removes the folder.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { sendJobs } from "./demo/jobs.ts";
import { showTable } from "./demo/table.ts";
import { type Demo, openDemo } from "./demo/yard.ts";

const MAX_PORT = 65_535;

const USAGE = `npm run demo -- [options]

  --load             send a mix of jobs and show the card, its models and the queue
  --every <ms>       with --load: mean pause between two jobs; 1500 unless said
  --memory <MiB>     the card's memory; 24576 unless said
  --policy <name>    fair (unless said), fifo, exclusive, or the path of one of your own
  --port <port>      the gateway's; any free one unless said
`;

process.exitCode = await main(process.argv.slice(2));

async function main(words: string[]): Promise<number> {
  const options = optionsFrom(words);
  if (typeof options === "string") {
    process.stderr.write(`${options}${options && "\n\n"}${USAGE}`);
    return options ? 64 : 0;
  }
  const ended = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => ended.abort());
  }
  const demo = await openDemo({ ...options, signal: ended.signal }).catch((error: Error) => error);
  if (demo instanceof Error) {
    // The gateway does not know of our option, which wins over the variable.
    const reason = demo.message.replace("set SWITCHYARD_PORT", "give another --port");
    if (!ended.signal.aborted) process.stderr.write(`The demo did not start: ${reason}\n`);
    return ended.signal.aborted ? 0 : 1;
  }
  let problem: string | undefined;
  void demo.broken.then((reason) => {
    if (ended.signal.aborted) return;
    problem = reason;
    ended.abort();
  });
  try {
    process.stdout.write(invitation(demo));
    if (options.load) await busy(demo, options.everyMs, ended.signal);
    else await until(ended.signal);
  } finally {
    process.stdout.write("\nEnding the demo …\n");
    await demo.close();
  }
  if (problem !== undefined) process.stderr.write(`${problem}\n`);
  return problem === undefined ? 0 : 1;
}

async function busy(demo: Demo, everyMs: number, signal: AbortSignal): Promise<void> {
  const sending = sendJobs(demo, everyMs, signal);
  await showTable(demo, () => sending.counts, process.stdout, signal);
  await sending.ended;
}

function invitation({ url, key, folder, log }: Demo): string {
  return `
Switchyard's demo: a simulated card, stand-ins for ComfyUI and Ollama, and the real gateway.

  gateway        ${url}
  documentation  ${url}/swagger
  its log        ${log}
  the card       ${folder}/device (a file for each allocation)

Try, in another terminal (the key is an admin's and dies with the demo):

  export URL=${url} KEY=${key}

  # What is on the card, and who waits for what
  curl -H "X-API-Key: $KEY" $URL/vram

  # A picture: its model is loaded for it, and stays
  curl -H "X-API-Key: $KEY" -H 'Prefer: wait=30' -H 'content-type: application/json' \\
    $URL/generate/image -d '{"prompt":"a signal box in the snow"}'

  # Text from a model beside it. Each "steps=" is a word of the stand-in: so many tokens
  curl -H "X-API-Key: $KEY" -H 'Prefer: wait=30' -H 'content-type: application/json' \\
    $URL/llm/generate -d '{"prompt":"Name three kinds of railway switch. steps=40"}'

  # A model that does not fit beside both: somebody has to leave. Where would it run, and when?
  curl -H "X-API-Key: $KEY" -H 'content-type: application/json' \\
    "$URL/generate/image?dry_run=true" -d '{"prompt":"a locomotive","workflow":"flux-dev"}'
  curl -H "X-API-Key: $KEY" -H 'content-type: application/json' \\
    $URL/generate/image -d '{"prompt":"a locomotive","workflow":"flux-dev"}'

  # Why does it wait, or what does it do? Paste a job_id of above
  JOB=; curl -H "X-API-Key: $KEY" $URL/jobs/$JOB/explain

  # Make room by hand
  curl -X POST -H "X-API-Key: $KEY" -H 'content-type: application/json' $URL/vram/free -d '{"all":true}'

Ctrl-C ends it. \`npm run demo -- --load\` sends jobs by itself and shows the card; --help has more.
`;
}

function optionsFrom(words: string[]) {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      args: words,
      options: {
        ...{ load: { type: "boolean" }, help: { type: "boolean" } },
        ...{ every: text, memory: text, policy: text, port: text },
      },
    });
    if (values.help) return "";
    return {
      load: values.load ?? false,
      everyMs: numberIn(values.every ?? "1500", "every", 1),
      memoryMiB: numberIn(values.memory ?? "24576", "memory", 1),
      port: numberIn(values.port ?? "0", "port", 0, MAX_PORT),
      policy: policyIn(values.policy ?? "fair"),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

function numberIn(given: string, option: string, minimum: number, maximum = 99_999_999): number {
  const number = /^\d{1,8}$/.test(given) ? Number(given) : Number.NaN;
  if (number >= minimum && number <= maximum) return number;
  const limits = maximum === MAX_PORT ? `${minimum} to ${maximum}` : `${minimum}`;
  throw new Error(`--${option} "${given}" is not a whole number from ${limits}`);
}

/** A path starts where the command was given: npm goes to the repository first. */
function policyIn(given: string): string {
  return given.startsWith(".") ? resolve(process.env.INIT_CWD ?? ".", given) : given;
}

function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
