/**
 * The command `keys`: keys without the API. Whoever may write the data folder may make keys, so
 * this is how a lost key is replaced; it works while the gateway runs (within half a second) and
 * when not.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  createKeyStore,
  isPreset,
  isScope,
  type KeyRow,
  type KeyStore,
  mintKey,
  PRESETS,
  type Preset,
  parseKey,
  renewKey,
  SCOPES,
  type Scope,
  termsOf,
} from "../auth/mod.ts";
import { GatewayError } from "../errors.ts";
import { type Database, openDatabase, UnusableStoreError } from "../storage/mod.ts";
import { parseDuration } from "./duration.ts";
import { type CommandEnvironment, CommandError, EXIT, PROGRAM, UsageError } from "./environment.ts";
import { keyLines, keyTable } from "./key-table.ts";

const HELP = `Usage: ${PROGRAM} keys <command>

  create --name <name>       make a key and print it, this once
      --preset <preset>      ${Object.keys(PRESETS).join(", ")}
                             (default: admin for the first key, then client)
      --scopes <a,b>         instead of a preset; see the list below
      --expires-in <30d>     default: never
      --requests-per-minute <n>, --active-jobs <n>, --gpu-weight <1 to 100>
                             default: those of gateway.yaml; 0 means unlimited
  list [--json]              all keys, newest first, without their secrets
  revoke <id>                end a key and its sub-keys
  rotate <id> [--grace <24h>]
                             give a key a new secret; the old one works until the grace ends
                             (default 24h; 0 when it has leaked)

A running gateway follows within a second. The data folder is SWITCHYARD_DATA.
Scopes: ${SCOPES.join(", ")
  .replace(/(.{1,82})(?:, |$)/g, "$1,\n        ")
  .replace(/,\n\s+$/, "")}
`;

const MAX_NAME_LENGTH = 128;
const DEFAULT_GRACE = "24h";
const COMMANDS: Readonly<Record<string, Command>> = { create, list, revoke, rotate };

type Command = (args: string[], environment: CommandEnvironment) => Promise<void>;

/** Runs `keys <argv…>` and returns the exit code; it throws nothing. */
export async function runKeysCommand(
  argv: string[],
  environment: CommandEnvironment,
): Promise<number> {
  const { stdout, stderr } = environment;
  const [name, ...args] = argv;
  if (name === undefined || name === "help" || argv.includes("--help") || argv.includes("-h")) {
    stdout.write(HELP);
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  try {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!command) throw new UsageError(`There is no command "keys ${name}"`);
    await command(args, environment);
    return EXIT.ok;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const isUsage = error instanceof UsageError;
    stderr.write(`${message}\n${isUsage ? `See: ${PROGRAM} keys --help\n` : ""}`);
    if (error instanceof UnusableStoreError) return EXIT.unusableStore;
    return isUsage ? EXIT.usage : EXIT.failed;
  }
}

async function create(args: string[], environment: CommandEnvironment): Promise<void> {
  const { values, positionals } = parse(args, {
    name: { type: "string" },
    preset: { type: "string" },
    scopes: { type: "string" },
    "expires-in": { type: "string" },
    "requests-per-minute": { type: "string" },
    "active-jobs": { type: "string" },
    "gpu-weight": { type: "string" },
  });
  const name = values.name ?? positionals[0];
  if (typeof name !== "string" || name.trim() === "" || positionals.length > 1) {
    throw new UsageError("A key needs one name: keys create --name <name>");
  }
  if (name.length > MAX_NAME_LENGTH || /\p{Cc}/u.test(name)) {
    throw new UsageError(`A name has at most ${MAX_NAME_LENGTH} characters, and no control ones`);
  }
  const nowMs = environment.clock.nowMs();
  const wishes = {
    name,
    preset: presetIn(values.preset),
    scopes: scopesIn(values.scopes),
    expiresAtMs: endIn(values["expires-in"], nowMs),
    limits: {
      ...countIn("requestsPerMinute", "--requests-per-minute", values["requests-per-minute"]),
      ...countIn("activeJobs", "--active-jobs", values["active-jobs"]),
      ...weightIn(values["gpu-weight"]),
    },
  };
  if (wishes.preset && wishes.scopes) throw new UsageError("Give --preset or --scopes, not both");
  await withStore(environment, true, async (store) => {
    const isFirst = store.count() === 0;
    const terms = termsOf(wishes, isFirst ? "admin" : "client", nowMs, 0);
    const { row, text } = mintKey(terms, "cli", nowMs);
    await store.create(row);
    environment.stdout.write(keyLines("Created", row, environment.clock.nowMs()));
    showOnce(text, environment);
  });
}

async function list(args: string[], environment: CommandEnvironment): Promise<void> {
  const { values, positionals } = parse(args, { json: { type: "boolean" } });
  if (positionals.length > 0) throw new UsageError(`keys list takes no "${positionals[0]}"`);
  await withStore(environment, false, async (store) => {
    environment.stdout.write(
      keyTable(store.all(), environment.clock.nowMs(), values.json === true),
    );
  });
}

async function revoke(args: string[], environment: CommandEnvironment): Promise<void> {
  const id = onlyId(parse(args, {}).positionals, "revoke");
  await withStore(environment, false, async (store) => {
    const row = existing(store, id);
    const ended = await store.revoke(id, environment.clock.nowMs());
    const already = row.revokedAt === null ? "" : " It had been revoked before.";
    const subKeys = ended > 1 ? ` So were its ${ended - 1} sub-keys.` : "";
    environment.stdout.write(`Key ${id} ("${row.name}") is revoked.${already}${subKeys}\n`);
  });
}

async function rotate(args: string[], environment: CommandEnvironment): Promise<void> {
  const { values, positionals } = parse(args, { grace: { type: "string" } });
  const id = onlyId(positionals, "rotate");
  const graceMs = parseDuration(String(values.grace ?? DEFAULT_GRACE), "--grace");
  await withStore(environment, false, async (store) => {
    const { name } = existing(store, id);
    const { secret, text } = renewKey(id);
    const nowMs = environment.clock.nowMs();
    const row = await store.rotate(id, secret, graceMs, nowMs);
    if (!row) {
      throw new CommandError(`Key ${id} ("${name}") is revoked or has expired; create a new one.`);
    }
    environment.stdout.write(keyLines("Rotated", row, nowMs));
    showOnce(text, environment);
  });
}

function showOnce(text: string, { stdout }: CommandEnvironment): void {
  stdout.write(`\n  ${text}\n\nThis is the only time the key is shown. Keep it somewhere safe.\n`);
}

/** Opens the store beside a gateway that may be running, and closes it whatever happens. */
async function withStore(
  { folder, clock }: CommandEnvironment,
  mayMakeFolder: boolean,
  work: (store: KeyStore) => Promise<void>,
): Promise<void> {
  if (!mayMakeFolder && !existsSync(join(folder, "switchyard.db"))) {
    throw new CommandError(
      `There is no gateway data in ${folder}. Set SWITCHYARD_DATA to the gateway's data folder, ` +
        `or make the first key with: ${PROGRAM} keys create --name <name>`,
    );
  }
  const database: Database = openDatabase({ folder, ballastMiB: 0, clock, onFsyncFailure() {} });
  try {
    await work(createKeyStore(database));
  } catch (error) {
    if (error instanceof GatewayError || error instanceof CommandError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const busy = /locked|busy/i.test(why) ? " The gateway is busy; try again." : "";
    throw new CommandError(`The keys in ${folder} could not be changed (${why}).${busy}`, {
      cause: error,
    });
  } finally {
    database.close();
  }
}

function existing(store: KeyStore, id: string): KeyRow {
  const row = store.get(id);
  if (row) return row;
  throw new CommandError(`There is no key "${id}". List them with: ${PROGRAM} keys list`);
}

/** The one positional; somebody may paste the whole key, of which only the id is taken. */
function onlyId(positionals: readonly string[], command: string): string {
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) {
    throw new UsageError(`Name one key by its id: keys ${command} <id>`);
  }
  return parseKey(id)?.id ?? id;
}

type OptionTypes = Record<string, { readonly type: "string" | "boolean" }>;

function parse(args: string[], options: OptionTypes) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

type OptionValue = string | boolean | (string | boolean)[] | undefined;

function presetIn(value: OptionValue): Preset | undefined {
  if (typeof value !== "string") return undefined;
  if (isPreset(value)) return value;
  throw new UsageError(
    `There is no preset "${value}"; there are ${Object.keys(PRESETS).join(", ")}`,
  );
}

function scopesIn(value: OptionValue): Scope[] | undefined {
  if (typeof value !== "string") return undefined;
  const names = value.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !isScope(name));
  if (unknown.length === 0) return names.filter(isScope);
  throw new UsageError(
    `There is no scope "${unknown.join('", "')}"; there are ${SCOPES.join(", ")}`,
  );
}

function endIn(value: OptionValue, nowMs: number): number | undefined {
  if (typeof value !== "string") return undefined;
  const durationMs = parseDuration(value, "--expires-in");
  if (durationMs > 0) return nowMs + durationMs;
  throw new UsageError("--expires-in must be more than 0; leave it out for a key without an end");
}

function weightIn(value: OptionValue): { gpuWeight?: number } {
  if (typeof value !== "string") return {};
  if (/^([1-9]\d?|100)$/.test(value)) return { gpuWeight: Number(value) };
  throw new UsageError(`--gpu-weight "${value}" is not a whole number from 1 to 100`);
}

function countIn(name: "requestsPerMinute" | "activeJobs", option: string, value: OptionValue) {
  if (typeof value !== "string") return {};
  if (/^\d{1,7}$/.test(value)) return { [name]: Number(value) };
  throw new UsageError(`${option} "${value}" is not a whole number`);
}
