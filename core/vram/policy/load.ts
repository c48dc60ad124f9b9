/** The policy that the configuration names: one of ours, or a file of the operator's. */
import { pathToFileURL } from "node:url";
import { exclusive } from "./exclusive.ts";
import { fair } from "./fair.ts";
import { fifo } from "./fifo.ts";
import type { Policy } from "./policy.ts";

export const POLICIES: Readonly<Record<string, Policy>> = { fair, fifo, exclusive };

/**
 * `name` is one of POLICIES, or an absolute path to a module that exports `policy`. Throws an Error
 * whose message says what is wrong with it.
 */
export async function loadPolicy(name: string): Promise<Policy> {
  const known = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (known) return known;
  const { policy } = (await import(pathToFileURL(name).href)) as { policy?: Partial<Policy> };
  if (typeof policy?.next === "function" && typeof policy.name === "string") {
    return policy as Policy;
  }
  throw new Error(`${name} must export \`policy\`, an object with \`name\` and \`next(view)\``);
}
