/** Says which names there are when one is wrong, and which was probably meant. */
import { nearest } from "switchyard/sdk";

/** Undefined when `name` is one of `valid`. */
export function namesProblem(
  what: string,
  name: string,
  valid: readonly string[],
): string | undefined {
  if (valid.includes(name)) return undefined;
  const near = nearest(name, valid);
  const meant = near ? `; did you mean "${near}"?` : "";
  const choice = valid.length > 0 ? `choose one of ${valid.join(", ")}` : "there is none";
  return `Unknown ${what} "${name}"${meant || ";"} ${choice}`;
}
