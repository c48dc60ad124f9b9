/**
 * Finds in what a server lists the endpoint that a plugin means, and where each of its parameters
 * goes. By name, because the order of inputs changes from release to release.
 */
import { BackendError } from "../errors.ts";
import { type Callee, callee } from "./callee.ts";
import { isTaken } from "./declared.ts";
import type { GradioApp, GradioParameter, GradioServer } from "./types.ts";
import type { Config, Listing } from "./wire.ts";

/** A server with the endpoint that does the work. */
export interface Bound {
  readonly server: GradioServer;
  readonly callee: Callee;
  /** "" or "/gradio_api". */
  readonly prefix: string;
  /** Another one after each start of the program; "" where it tells none. */
  readonly appId: string;
  /** Another endpoint of the same program. */
  other(endpoint: string): Callee;
}

/** What of an app decides about the binding. */
export type Sought = Pick<
  GradioApp<never, never>,
  | "title"
  | "endpoint"
  | "needs"
  | "aliases"
  | "pageTitle"
  | "pinned"
  | "outputs"
  | "collect"
  | "cancel"
>;

const SHOWN_NAMES = 20;

/** Throws BACKEND_MISMATCH with the exact difference. */
export function bind(sought: Sought, baseUrl: string, config: Config, listing: Listing): Bound {
  const { title, needs = [], aliases = {} } = sought;
  const shown = `${baseUrl} is Gradio ${config.version}${config.title ? ` "${config.title}"` : ""}`;
  const mismatch = (what: string): BackendError =>
    new BackendError(
      "BACKEND_MISMATCH",
      `${shown}, but not the ${title} that is expected: ${what}`,
      { details: { version: config.version } },
    );

  const pageTitle = config.title ?? "";
  if (sought.pageTitle && !pageTitle.toLowerCase().includes(sought.pageTitle.toLowerCase())) {
    throw mismatch(`its title has no "${sought.pageTitle}"`);
  }
  const names = Object.keys(listing.named_endpoints);
  const wanted = [sought.endpoint].flat().map(slashed);
  const missingIn = (name: string): readonly string[] => {
    const parameters = parametersOf(listing, name);
    return needs.filter((need) => named(parameters, need, aliases) === undefined);
  };
  const chosen = choose(names, wanted, missingIn, needs.length);
  if (chosen === undefined) throw mismatch(difference(names, wanted, missingIn));

  const find = (endpoint: string): Callee => {
    const found = callee(config, listing, slashed(endpoint));
    if (typeof found === "string") throw mismatch(found);
    return found;
  };
  const main = find(chosen);
  const { collect, cancel } = sought;
  if (cancel?.kind === "interrupt") find(cancel.endpoint);
  const calls = [
    { callee: main, outputs: sought.outputs },
    ...(collect === undefined ? [] : [{ ...collect, callee: find(collect.endpoint) }]),
  ];
  for (const { callee: called, outputs } of calls) {
    const { length } = called.returns;
    const absent = outputs.find(({ at }) => at >= length);
    if (absent === undefined) continue;
    throw mismatch(`${called.endpoint} returns ${length} values, so none at place ${absent.at}`);
  }
  const parameter = (name: string): GradioParameter | undefined =>
    named(main.parameters, name, aliases);
  for (const [name, value] of Object.entries(sought.pinned ?? {})) {
    const found = parameter(name);
    // What is pinned keeps a request from doing harm: without it the program is not to be used.
    if (found !== undefined && !isTaken(found, value)) {
      throw mismatch(`its ${name} does not take ${JSON.stringify(value)}`);
    }
  }
  const major = Number.parseInt(config.version, 10);
  return {
    callee: main,
    prefix: config.api_prefix ?? "",
    appId: String(config.app_id ?? ""),
    other: find,
    server: {
      version: config.version,
      major,
      pageTitle,
      endpoint: chosen,
      parameters: main.parameters,
      endpoints: names,
      parameter,
      has: (name) => parameter(name) !== undefined,
    },
  };
}

/** By its name, else by an alias, else by a label: releases rename, and labels are often useless. */
export function named(
  parameters: readonly GradioParameter[],
  name: string,
  aliases: Readonly<Record<string, readonly string[]>> = {},
): GradioParameter | undefined {
  const spellings = [name, ...(Object.hasOwn(aliases, name) ? (aliases[name] ?? []) : [])];
  for (const spelling of spellings) {
    const found = parameters.find((parameter) => parameter.name === spelling);
    if (found !== undefined) return found;
  }
  for (const spelling of spellings) {
    const found = parameters.filter(({ label }) => same(label, spelling));
    if (found.length === 1) return found[0];
  }
  return undefined;
}

const same = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();
const slashed = (name: string): string => (name.startsWith("/") ? name : `/${name}`);

function parametersOf(listing: Listing, name: string): readonly GradioParameter[] {
  const found = callee(undefined, listing, name);
  return typeof found === "string" ? [] : found.parameters;
}

/**
 * The exact name first; then one that Gradio numbered because the page has two of them; then the
 * only endpoint with the parameters, since programs rename their functions as well.
 */
function choose(
  names: readonly string[],
  wanted: readonly string[],
  missingIn: (name: string) => readonly string[],
  needed: number,
): string | undefined {
  const fits = (name: string): boolean => missingIn(name).length === 0;
  const exact = wanted.find((name) => names.includes(name) && fits(name));
  if (exact !== undefined) return exact;
  for (const want of wanted) {
    const numbered = names.find(
      (name) => name.startsWith(`${want}_`) && /^\d+$/.test(name.slice(want.length + 1)),
    );
    if (numbered !== undefined && fits(numbered)) return numbered;
  }
  if (needed < 2) return undefined;
  const fitting = names.filter(fits);
  return fitting.length === 1 ? fitting[0] : undefined;
}

function difference(
  names: readonly string[],
  wanted: readonly string[],
  missingIn: (name: string) => readonly string[],
): string {
  const there = wanted.filter((name) => names.includes(name));
  if (there.length === 0) {
    const has = names.length === 0 ? "it has none" : `it has ${list(names)}`;
    return `it has no endpoint ${wanted.join(" or ")}; ${has}`;
  }
  return there.map((name) => `its ${name} has no ${list(missingIn(name))}`).join("; ");
}

function list(names: readonly string[]): string {
  const more = names.length - SHOWN_NAMES;
  return `${names.slice(0, SHOWN_NAMES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
