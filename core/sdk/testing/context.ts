/** What a plugin's hooks receive, without a kernel: settings, the real HTTP client, a log. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Static, type TObject, type TProperties, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { createHttpClient } from "../http-client.ts";
import type { AnyPlugin, Context } from "../plugin.ts";

export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields?: Record<string, unknown>;
}

export interface TestContext<Config = Record<string, unknown>> extends Context<Config> {
  readonly logged: readonly LogEntry[];
  /** Processes that `owns` was told of and that were not taken back. */
  readonly owned: readonly number[];
}

export interface TestContextOptions {
  /** Answers what the plugin asks of other plugins; without it such a call fails. */
  readonly call?: (capability: string, input: unknown) => Promise<unknown>;
  /** `Context.folder`; a new temporary one unless said. */
  readonly folder?: string;
}

/** The settings that a plugin's hooks expect. */
export type ConfigOf<Tested extends AnyPlugin> = Parameters<Tested["health"]>[0]["config"];

/** Nothing listens on the discard port of a test machine. */
const NOWHERE = "http://127.0.0.1:9";

/** Throws when `config` does not fit the plugin's own schema, as the kernel would at start. */
export function createTestContext<Tested extends AnyPlugin>(
  plugin: Tested,
  url?: string,
  config: Readonly<Record<string, unknown>> = {},
  { call, folder }: TestContextOptions = {},
): TestContext<ConfigOf<Tested>> {
  const logged: LogEntry[] = [];
  const owned: number[] = [];
  const log =
    (level: LogEntry["level"]) =>
    (message: string, fields?: Record<string, unknown>): void =>
      void logged.push(fields === undefined ? { level, message } : { level, message, fields });
  return {
    backend: plugin.name,
    config: settingsOf(plugin, config),
    http: createHttpClient({ baseUrl: url ?? NOWHERE, title: plugin.title }),
    log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    logged,
    async call<T>(capability: string, input: unknown): Promise<T> {
      if (call === undefined) throw new Error(`no backend here serves ${capability}`);
      const answer: unknown = await call(capability, input);
      return answer as T;
    },
    folder: folder ?? mkdtempSync(join(tmpdir(), "switchyard-work-")),
    owned,
    owns(pid) {
      owned.push(pid);
      return () => void owned.splice(owned.indexOf(pid) >>> 0, 1);
    },
  };
}

function settingsOf(plugin: AnyPlugin, config: Readonly<Record<string, unknown>>): Static<TObject> {
  const properties: TProperties = plugin.config;
  const schema = Type.Object(properties, { additionalProperties: false });
  const settings: unknown = Value.Default(schema, structuredClone(config));
  if (Value.Check(schema, settings)) return settings;
  const { path, message } = Value.Errors(schema, settings).First() ?? {};
  throw new Error(`the settings of ${plugin.name} are not valid: ${path} ${message}`);
}
