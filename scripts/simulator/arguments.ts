/** The words of `bun run simulate`. */
import type { Compute } from "./model.ts";

export interface SimulateWords {
  readonly services: string;
  readonly trace: string;
  readonly out: string;
  /** MiB of each device. */
  readonly devices: readonly number[];
  readonly compute: Compute;
  /** A policy's name, or the path of a module that exports one. */
  readonly policy: string;
  readonly heavy: number;
  readonly headroomMiB: number;
}

export const SIMULATE_USAGE = `bun run simulate --services S.json --devices 24576[,24576...] --trace T.jsonl --out R.jsonl
  --compute shared|lane        residents compute side by side (default), or one thing at a time
  --policy fair|fifo|exclusive or the path of a module that exports \`policy\`; default fair
  --heavy 1                    long jobs that may compute at once on a device
  --headroom 0                 MiB of each device that stay free

S.json   [{"name", "vram_mib", "load_ms", "run_ms", "slots"}]
         run_ms is the expected run time; slots is how many of its jobs may run at once (1)
T.jsonl  a line per job: {"id", "at_ms", "service", "run_ms", "key"?, "priority"?}
R.jsonl  {"type":"job"|"load"|"evict", ...} in the order in which they ended, the summary last;
         - is the standard output
`;

/** What is wrong with the words, for whoever typed them. */
export class UsageError extends Error {}

const FLAGS = ["services", "devices", "trace", "compute", "policy", "heavy", "headroom", "out"];
const MAX_DEVICES = 1_024;

export function parseSimulateWords(words: readonly string[]): SimulateWords {
  const given = new Map<string, string>();
  for (let index = 0; index < words.length; index++) {
    const [flag, inline] = split(words[index] ?? "");
    if (!FLAGS.includes(flag)) throw new UsageError(`"${words[index]}" is none of the options.`);
    if (given.has(flag)) throw new UsageError(`--${flag} is given twice.`);
    const value = inline ?? words[++index];
    if (value === undefined || value === "") throw new UsageError(`--${flag} needs a value.`);
    given.set(flag, value);
  }
  const need = (flag: string): string => {
    const value = given.get(flag);
    if (value === undefined) throw new UsageError(`--${flag} is missing.`);
    return value;
  };
  const compute = given.get("compute") ?? "shared";
  if (compute !== "shared" && compute !== "lane") {
    throw new UsageError(`--compute is "${compute}"; it is shared or lane.`);
  }
  return {
    services: need("services"),
    trace: need("trace"),
    out: need("out"),
    devices: sizes(need("devices")),
    compute,
    policy: given.get("policy") ?? "fair",
    heavy: whole("heavy", given.get("heavy") ?? "1", 1),
    headroomMiB: whole("headroom", given.get("headroom") ?? "0", 0),
  };
}

function split(word: string): [string, string | undefined] {
  const match = /^--([a-z]+)(?:=(.*))?$/s.exec(word);
  return [match?.[1] ?? "", match?.[2]];
}

function sizes(text: string): number[] {
  const devices = text.split(",").map((part) => whole("devices", part.trim(), 1));
  if (devices.length <= MAX_DEVICES) return devices;
  throw new UsageError(`--devices names ${devices.length}; ${MAX_DEVICES} is most.`);
}

function whole(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (text !== "" && Number.isSafeInteger(value) && value >= least) return value;
  throw new UsageError(`--${flag} has "${text}"; it is a whole number, ${least} or more.`);
}
