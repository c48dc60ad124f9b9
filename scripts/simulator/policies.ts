/** The policies that a simulation may use: the product's own, or a module of one's own. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { exclusive } from "../../core/vram/policy/exclusive.ts";
import { fair } from "../../core/vram/policy/fair.ts";
import { fifo } from "../../core/vram/policy/fifo.ts";
import type { Policy } from "../../core/vram/policy/policy.ts";
import { UsageError } from "./arguments.ts";

const POLICIES: Readonly<Record<string, Policy>> = { fair, fifo, exclusive };

/** A name, or the path of a module that exports `policy`; it is imported, so it may do anything. */
export async function policyNamed(name: string): Promise<Policy> {
  const known = Object.hasOwn(POLICIES, name) ? POLICIES[name] : undefined;
  if (known) return known;
  if (!/[./\\]/.test(name)) {
    const names = Object.keys(POLICIES).join(", ");
    throw new UsageError(`--policy is "${name}"; it is ${names} or a path such as ./mine.ts.`);
  }
  let module: { readonly policy?: unknown };
  try {
    module = await import(pathToFileURL(resolve(name)).href);
  } catch (error) {
    throw new UsageError(`--policy: ${name} cannot be loaded: ${String(error)}`);
  }
  const { policy } = module;
  if (isPolicy(policy)) return policy;
  throw new UsageError(`--policy: ${name} must export \`policy\` with a name and next(view).`);
}

function isPolicy(value: unknown): value is Policy {
  if (typeof value !== "object" || value === null) return false;
  const { name, next } = value as Partial<Policy>;
  return typeof name === "string" && typeof next === "function";
}
