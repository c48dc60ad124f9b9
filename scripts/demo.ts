/**
 * `npm run demo`: the whole gateway without a GPU. A simulated card of 24 GiB in a temporary folder,
 * stand-ins for ComfyUI and Ollama that hold its memory, and the real gateway over them. Prints what
 * to try; with `--load` it sends a mix of jobs and shows who is on the card and who waits. Ctrl-C
 * ends everything and removes the folder.
 */
import { parseArgs } from "node:util";
import { sendJobs } from "./demo/jobs.ts";
import { showTable } from "./demo/table.ts";
import { type Demo, openDemo } from "./demo/yard.ts";

const USAGE = `npm run demo -- [options]

  --load             send a mix of jobs and show the card, its models and the queue
  --every <ms>       with --load: mean pause between two jobs; 1500 unless said
  --memory <MiB>     the card's memory; 24576 unless said
  --policy <name>    fair (unless said), fifo or exclusive
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
    if (!ended.signal.aborted) process.stderr.write(`The demo did not start: ${demo.message}\n`);
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

  # Make room by hand
  curl -X POST -H "X-API-Key: $KEY" -H 'content-type: application/json' $URL/vram/free -d '{"all":true}'

Ctrl-C ends it.
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
      port: numberIn(values.port ?? "0", "port", 0),
      policy: values.policy ?? "fair",
    };
  } catch (error) {
    return (error as Error).message;
  }
}

function numberIn(given: string, option: string, minimum: number): number {
  if (/^\d{1,8}$/.test(given) && Number(given) >= minimum) return Number(given);
  throw new Error(`--${option} "${given}" is not a whole number from ${minimum}`);
}

function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
