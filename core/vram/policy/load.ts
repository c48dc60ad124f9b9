/** The policy that the configuration or a simulation names: one of ours, or a file of one's own. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { exclusive } from "./exclusive.ts";
import { fair } from "./fair.ts";
import { fifo } from "./fifo.ts";
import type { Policy } from "./policy.ts";

export const POLICIES: Readonly<Record<string, Policy>> = { fair, fifo, exclusive };

/**
 * `name` is one of POLICIES, or the path of a module that exports `policy`; it is imported, so it
 * may do anything. Throws an Error whose message says what is wrong with it.
 */
export async function loadPolicy(name: string): Promise<Policy> {
  const known = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (known) return known;
  if (!/[./\\]/.test(name)) {
    const names = Object.keys(POLICIES).join(", ");
    throw new Error(`"${name}" is no policy; it is ${names} or a path such as ./mine.ts.`);
  }
  let module: { readonly policy?: unknown };
  try {
    module = await import(pathToFileURL(resolve(name)).href);
  } catch (error) {
    throw new Error(`${name} cannot be loaded: ${String(error)}`);
  }
  const { policy } = module;
  if (isPolicy(policy)) return policy;
  throw new Error(`${name} must export \`policy\`, an object with \`name\` and \`next(view)\`.`);
}

function isPolicy(value: unknown): value is Policy {
  if (typeof value !== "object" || value === null) return false;
  const { name, next } = value as Partial<Policy>;
  return typeof name === "string" && typeof next === "function";
}
