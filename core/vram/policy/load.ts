/** The policy that the configuration or a simulation names: one of ours, or a file of one's own. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { exclusive } from "./exclusive.ts";
import { fair } from "./fair.ts";
import { fifo } from "./fifo.ts";
import type { Policy } from "./policy.ts";

export const POLICIES: Readonly<Record<string, Policy>> = { fair, fifo, exclusive };

const ORDERS: readonly unknown[] = ["urgency", "arrival", undefined];

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
  const path = resolve(name);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    const where = path === name ? "" : `; it would be ${path}`;
    throw new Error(`${name} cannot be loaded: there is no such file${where}.`);
  }
  let module: { readonly policy?: unknown };
  try {
    module = await import(pathToFileURL(path).href);
  } catch (error) {
    throw new Error(`${name} cannot be loaded: ${reasonOf(error)}`);
  }
  const { policy } = module;
  if (!isPolicy(policy)) {
    throw new Error(`${name} must export \`policy\`, an object with \`name\` and \`next(view)\`.`);
  }
  if (!ORDERS.includes(policy.order)) {
    const given = JSON.stringify(policy.order);
    throw new Error(`${name}: \`order\` is ${given}; it is "urgency", "arrival" or left out.`);
  }
  return policy;
}

function isPolicy(value: unknown): value is Policy {
  if (typeof value !== "object" || value === null) return false;
  const { name, next } = value as Partial<Policy>;
  return typeof name === "string" && typeof next === "function";
}

/** Bun says beside the message, not in it, where in the file a mistake is. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error) && !isBuildMessage(error)) return String(error);
  const position = isBuildMessage(error) ? error.position : undefined;
  if (!position) return error.message;
  return `${error.message} (line ${position.line}, column ${position.column})`;
}

interface BuildMessage {
  readonly message: string;
  readonly position?: { readonly line: number; readonly column: number } | null;
}

function isBuildMessage(error: unknown): error is BuildMessage {
  return typeof error === "object" && error !== null && "message" in error && "position" in error;
}
