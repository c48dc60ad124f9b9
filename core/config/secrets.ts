/**
 * Decides which values that came from the environment are secrets. In a backend's own settings, its
 * headers and its process's environment everything is one until proven otherwise; elsewhere the
 * variable's name decides.
 */
import type { Path } from "./problems.ts";
import { BackendSchema } from "./schema.ts";
import type { SourceNode } from "./source.ts";

const CREDENTIAL = /key|token|secret|passw|credential|auth|cookie|bearer/i;

/** `HF_TOKEN` and `API_KEY`, but not `TOKENIZERS_PARALLELISM`, which half of all AI servers set. */
const CREDENTIAL_VARIABLE = /(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASS(WORD|WD)?|CREDENTIALS?)$/i;

/** Variables of every shell that only name folders and people. */
const AMBIENT = new Set(["HOME", "HOSTNAME", "LOGNAME", "PWD", "TMPDIR", "USER", "USERPROFILE"]);

export const looksLikeCredential = (name: string): boolean => CREDENTIAL.test(name);

/** Of a process's environment: what may stand in the file is no secret as a rule. */
export const namesCredential = (name: string): boolean => CREDENTIAL_VARIABLE.test(name);

export function isSecret(path: Path, variable: string): boolean {
  if (looksLikeCredential(variable)) return true;
  const [section, , setting] = path;
  if (section !== "backends" || setting === undefined) return false;
  if (setting === "headers") return true;
  if (setting === "process") return path[3] === "env" && !AMBIENT.has(variable);
  return !Object.hasOwn(BackendSchema.properties, setting) && !AMBIENT.has(variable);
}

/** Every text that the log must not show, also in the form it has inside a JSON string. */
export function collectSecrets(root: SourceNode): readonly string[] {
  const found = new Set<string>();
  const add = (secret: string): void => {
    if (secret === "") return;
    found.add(secret);
    found.add(JSON.stringify(secret).slice(1, -1));
  };
  const visit = (node: SourceNode, path: Path): void => {
    if (node.kind === "map") {
      for (const [key, value] of node.entries) visit(value, [...path, key]);
    } else if (node.kind === "list") {
      node.items.forEach((item, index) => {
        visit(item, [...path, `[${index}]`]);
      });
    } else {
      for (const { name, value } of node.variables) {
        if (value !== undefined && isSecret(path, name)) add(value);
      }
      if (isSecretPlace(path) && typeof node.value === "string") add(node.value);
    }
  };
  visit(root, []);
  return [...found];
}

/** Where also a value that stands in the file itself must not be shown. */
function isSecretPlace([section, , setting, part, name = ""]: Path): boolean {
  if (section !== "backends") return false;
  return (
    setting === "headers" || (setting === "process" && part === "env" && namesCredential(name))
  );
}
