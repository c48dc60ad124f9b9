/** What a plugin's author gives to the conformance suite, and the shape of its rules. */
import { Value } from "@sinclair/typebox/value";
import type { AnyCapability, AnyPlugin } from "../plugin.ts";
import { realServer, recorded } from "./against.ts";
import { createTestContext, type TestContext } from "./context.ts";
import type { Fake } from "./fake.ts";

/** Words of a prompt that a fake may be unable to follow. */
export type Word = "fail" | "oom" | "hang" | "null-output";

export interface PluginCases {
  /** Starts a fresh server; left out only by a plugin without one. */
  readonly fake?: () => Promise<Fake>;
  /** URL of a real server in place of the fake; the rules that steer a fake do not apply then. */
  readonly against?: string;
  /** Settings other than the defaults, as an operator writes them. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** A request per capability, where the plugin's own `example` does not suit a test. */
  readonly inputs?: Readonly<Record<string, unknown>>;
  /**
   * Puts words that steer the fake into a request. Unless said they are added to `prompt`, `text`
   * or the first of `texts`.
   */
  withPrompt?(input: Readonly<Record<string, unknown>>, words: string): Record<string, unknown>;
  /** Files that the requests name, by artifact id. */
  readonly files?: Readonly<Record<string, File>>;
  /** Per capability the call that starts work; the first POST of a run unless said. */
  readonly submits?: Readonly<Record<string, string>>;
  /** Words that do not apply, each with the reason, for example no GPU for `oom`. */
  readonly without?: Readonly<Partial<Record<Word, string>>>;
  /** Longest time for a run of the example to end; 20,000 ms unless said. */
  readonly runMs?: number;
  /** Longest time for a cancelled run to settle; 5,000 ms unless said. */
  readonly settleMs?: number;
  /** Longest time for health, models, residents, load and free; 10,000 ms unless said. */
  readonly hookMs?: number;
}

/** One sentence that must be true of every plugin. */
export interface Rule {
  readonly name: string;
  /** Why it does not apply here. */
  readonly skip?: string;
  /** Throws when the plugin breaks the rule. */
  check(): Promise<void>;
}

export interface Subject {
  readonly plugin: AnyPlugin;
  readonly cases: PluginCases;
}

export interface Backend {
  readonly ctx: TestContext;
  /** Undefined for a plugin without a server. */
  readonly fake: Fake | undefined;
}

/** Runs `work` against a fresh fake; stops that and the plugin's own workers whatever happens. */
export async function withBackend(
  { plugin, cases }: Subject,
  work: (backend: Backend) => Promise<void>,
): Promise<void> {
  const calls: string[] = [];
  const fake =
    cases.against === undefined ? await cases.fake?.() : realServer(cases.against, calls);
  const plain = createTestContext(plugin, fake?.url, cases.config);
  const ctx = cases.against === undefined ? plain : { ...plain, http: recorded(plain.http, calls) };
  try {
    await work({ ctx, fake });
  } finally {
    await plugin.close?.(ctx);
    await fake?.stop();
  }
}

/** The capabilities that a backend with the settings of the cases has. */
export function kindsOf({ plugin, cases }: Subject): readonly string[] {
  const kinds = Object.keys(plugin.capabilities);
  if (plugin.offers === undefined) return kinds;
  const { config } = createTestContext(plugin, undefined, cases.config);
  const offered = plugin.offers(config);
  return kinds.filter((kind) => offered.includes(kind));
}

/** Nobody can be asked: the plugin reaches no server, and its author gives no stand-in. */
export const hasNoServer = ({ plugin, cases }: Subject): boolean =>
  plugin.defaultUrl === undefined && cases.fake === undefined && cases.against === undefined;

export type Input = Record<string, unknown>;

/**
 * A request for the capability as the kernel would hand it on: defaults filled in. With settings
 * that take less than the example has, the example has less.
 */
export function inputOf(subject: Subject, kind: string, words = ""): Input {
  const { cases } = subject;
  const capability: AnyCapability = capabilityOf(subject.plugin, kind);
  const plain: unknown = structuredClone(cases.inputs?.[kind] ?? exampleOf(subject, capability));
  const filled: unknown = Value.Default(capability.input, plain);
  if (!isRecord(filled)) throw new Error(`${kind}: the example must be an object`);
  if (words === "") return filled;
  return (cases.withPrompt ?? addWords)(filled, words);
}

function exampleOf({ plugin, cases }: Subject, { example, takes }: AnyCapability): unknown {
  if (cases.config === undefined || takes === undefined || !isRecord(example)) return example;
  const taken = takes(createTestContext(plugin, undefined, cases.config).config);
  return Object.fromEntries(Object.entries(example).filter(([name]) => taken.includes(name)));
}

export function capabilityOf(plugin: AnyPlugin, kind: string): AnyCapability {
  const capability: AnyCapability | undefined = plugin.capabilities[kind];
  if (capability === undefined) throw new Error(`${plugin.name} has no capability ${kind}`);
  return capability;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function addWords(input: Readonly<Input>, words: string): Input {
  for (const field of ["prompt", "text"]) {
    if (typeof input[field] === "string") return { ...input, [field]: `${input[field]} ${words}` };
  }
  if (Array.isArray(input.texts)) {
    const [first, ...others]: unknown[] = input.texts;
    return { ...input, texts: [`${first} ${words}`, ...others] };
  }
  throw new Error("the request has no prompt, text or texts: give `withPrompt` in the cases");
}
