/** Reads the simulator's services and traces, and says where they are wrong; writes its results. */
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import type { Service, TraceJob } from "./model.ts";

/** A file that cannot be used: which, where and why. */
export class FileError extends Error {}

const CHUNK_BYTES = 1 << 20;
const MAX_LINE = 1 << 20;
const MAX_JOBS = 20_000_000;
const MAX_SERVICES = 10_000;
const HIGHEST_PRIORITY = 9;

export function readServices(path: string): Service[] {
  const list = parsed(path, readText(path));
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_SERVICES) {
    throw new FileError(`${path}: it must be a list of 1 to ${MAX_SERVICES} services.`);
  }
  const names = new Set<string>();
  return list.map((item, index) => {
    const at = `${path}: service ${index + 1}`;
    const fields = object(at, item);
    const service: Service = {
      name: text(at, fields, "name"),
      vram_mib: amount(at, fields, "vram_mib"),
      load_ms: amount(at, fields, "load_ms"),
      run_ms: amount(at, fields, "run_ms"),
      slots: fields.slots === undefined ? 1 : count(at, fields, "slots"),
    };
    if (names.has(service.name)) throw new FileError(`${at}: "${service.name}" is there twice.`);
    names.add(service.name);
    return service;
  });
}

/** The jobs in the order of `at_ms`; those of the same moment in the order of the file. */
export function readTrace(path: string, services: readonly Service[]): TraceJob[] {
  // One string for each name, so that a million jobs do not hold a million copies.
  const names = new Map(services.map(({ name }) => [name, name]));
  const ids = new Set<string>();
  const jobs: TraceJob[] = [];
  let sorted = true;
  eachLine(path, (line, number) => {
    const at = `${path}:${number}`;
    const fields = object(at, parsed(at, line));
    const named = text(at, fields, "service");
    const service = names.get(named);
    if (service === undefined) {
      const known = [...names.keys()].slice(0, 20).join(", ");
      throw new FileError(`${at}: no service is called "${named}"; there are: ${known}.`);
    }
    const job: TraceJob = {
      id: text(at, fields, "id"),
      at_ms: amount(at, fields, "at_ms"),
      service,
      run_ms: amount(at, fields, "run_ms"),
      key: fields.key === undefined ? undefined : text(at, fields, "key"),
      priority: fields.priority === undefined ? undefined : priority(at, fields),
    };
    if (ids.has(job.id)) throw new FileError(`${at}: a job "${job.id}" came before.`);
    if (jobs.length === MAX_JOBS) throw new FileError(`${at}: ${MAX_JOBS} jobs are most.`);
    ids.add(job.id);
    sorted &&= job.at_ms >= (jobs.at(-1)?.at_ms ?? 0);
    jobs.push(job);
  });
  return sorted ? jobs : jobs.sort((a, b) => a.at_ms - b.at_ms);
}

export interface LineWriter {
  write(line: unknown): void;
  close(): void;
}

/** A file of one JSON value per line; "-" is the standard output. */
export function createLineWriter(path: string): LineWriter {
  const file = path === "-" ? 1 : attempt(path, "written", () => openSync(path, "w"));
  let parts: string[] = [];
  let length = 0;
  function flush(): void {
    let bytes = Buffer.from(parts.join(""), "utf8");
    parts = [];
    length = 0;
    while (bytes.length > 0) bytes = bytes.subarray(attempt(path, "written", writeSome(bytes)));
  }
  const writeSome = (bytes: Buffer) => () => writeSync(file, bytes);
  return {
    write(line) {
      const text = `${JSON.stringify(line)}\n`;
      parts.push(text);
      length += text.length;
      if (length >= CHUNK_BYTES) flush();
    },
    close() {
      flush();
      if (file !== 1) closeSync(file);
    },
  };
}

function eachLine(path: string, take: (line: string, number: number) => void): void {
  const file = attempt(path, "read", () => openSync(path, "r"));
  try {
    const bytes = Buffer.alloc(CHUNK_BYTES);
    const decoder = new StringDecoder("utf8");
    let rest = "";
    let number = 0;
    for (let more = true; more; ) {
      const read = attempt(path, "read", () => readSync(file, bytes, 0, CHUNK_BYTES, null));
      more = read > 0;
      rest += more ? decoder.write(bytes.subarray(0, read)) : decoder.end();
      const lines = rest.split("\n");
      rest = more ? (lines.pop() ?? "") : "";
      for (const line of lines) {
        number++;
        if (line.trim() !== "") take(line, number);
      }
      if (rest.length <= MAX_LINE) continue;
      throw new FileError(`${path}:${number + 1}: the line is longer than ${MAX_LINE} characters.`);
    }
  } finally {
    closeSync(file);
  }
}

function readText(path: string): string {
  return attempt(path, "read", () => readFileSync(path, "utf8"));
}

function attempt<T>(path: string, what: "read" | "written", work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new FileError(`${path} cannot be ${what}: ${code ?? String(error)}.`);
  }
}

function parsed(at: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new FileError(`${at}: this is no JSON: ${line.trim().slice(0, 60)}`);
  }
}

type Fields = Readonly<Record<string, unknown>>;

function object(at: string, value: unknown): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new FileError(`${at}: it must be an object.`);
}

function text(at: string, fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === "string" && value !== "") return value;
  // Numbers are taken as names: many traces count their jobs.
  if (name === "id" && typeof value === "number") return String(value);
  throw new FileError(`${at}: "${name}" is ${shown(value)}; it must be a text that is not empty.`);
}

function amount(at: string, fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
  throw new FileError(`${at}: "${name}" is ${shown(value)}; it must be a number, 0 or more.`);
}

function count(at: string, fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw new FileError(`${at}: "${name}" is ${shown(value)}; it must be a whole number, 1 or more.`);
}

function priority(at: string, fields: Fields): number {
  const value = fields.priority;
  const isOne = typeof value === "number" && Number.isInteger(value);
  if (isOne && value >= 0 && value <= HIGHEST_PRIORITY) return value;
  throw new FileError(`${at}: "priority" is ${shown(value)}; it must be 0 to ${HIGHEST_PRIORITY}.`);
}

function shown(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value).slice(0, 60);
}
