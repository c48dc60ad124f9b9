/** wrk, the load generator: closed loop, one thread, on the CPU that the gateway does not have. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOAD_CPU } from "./gateway.ts";
import type { Stage } from "./stage.ts";

export interface Load {
  readonly url: string;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly requests: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Answers of 400 and above, and broken or late connections. */
  readonly errors: number;
}

const SUMMARY = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"duration":%d,"p50":%f,"p99":%f,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
`;

/** Loads the URL with POSTs of one body. */
export async function load(stage: Stage, options: Load): Promise<LoadResult> {
  const { url, body, headers = {}, connections, seconds } = options;
  const script = join(stage.folder(), "post.lua");
  const lines = Object.entries({ "content-type": "application/json", ...headers }).map(
    ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
  );
  const lua = ['wrk.method = "POST"', `wrk.body = ${luaText(JSON.stringify(body))}`, ...lines];
  writeFileSync(script, `${lua.join("\n")}\n${SUMMARY}`);
  const printed = await stage.run(
    ["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", script, url],
    { cpu: LOAD_CPU },
  );
  const [, json] = /RESULT (.+)/.exec(printed) ?? [];
  if (json === undefined) throw new Error(`wrk said nothing of its result:\n${printed}`);
  const result = JSON.parse(json);
  return {
    requests: result.requests,
    perSecond: result.requests / (result.duration / 1e6),
    p50Us: result.p50,
    p99Us: result.p99,
    errors: result.errors,
  };
}

const luaText = (text: string): string => `[==[${text}]==]`;
