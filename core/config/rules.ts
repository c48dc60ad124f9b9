/** What a schema cannot say: settings that must fit each other, addresses, origins, devices. */
import { isIP } from "node:net";
import { nearest } from "../sdk/nearest.ts";
import { keyOf, type Path, type Problem } from "./problems.ts";
import type { GatewayConfig } from "./schema.ts";
import { looksLikeCredential } from "./secrets.ts";
import { lineOf, type MapNode, type SourceNode } from "./source.ts";

/** A token of RFC 9110. Any other name makes every request to the backend fail. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

type Report = (path: Path, message: string) => void;

export function checkRules(config: GatewayConfig, root: SourceNode): readonly Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, message) => {
    problems.push({ line: lineOf(root, path), key: keyOf(path), message });
  };
  each(config.http.allowed_hosts, ["http", "allowed_hosts"], hostProblem, report);
  each(config.http.allowed_origins, ["http", "allowed_origins"], originProblem, report);
  each(config.http.trusted_proxies, ["http", "trusted_proxies"], rangeProblem, report);
  const devices = Object.keys(config.devices);
  for (const [name, { url, device, headers }] of Object.entries(config.backends)) {
    const wrongUrl = url === undefined ? undefined : urlProblem(url);
    if (wrongUrl) report(["backends", name, "url"], wrongUrl);
    for (const header of Object.keys(headers)) {
      if (HEADER_NAME.test(header)) continue;
      report(["backends", name, "headers", header], "not a header's name; use a-z, 0-9 and -");
    }
    if (!devices.includes(device)) {
      const meant = nearest(device, devices);
      const advice = meant ? `did you mean \`${meant}\`?` : "";
      const declared = `declared under \`devices\`: ${devices.join(", ")}`;
      const path = ["backends", name, "device"];
      report(path, `unknown device "${device}"; ${advice || declared}`);
    }
  }
  return problems;
}

/** Credentials that stand in the file itself, where copies and screenshots take them along. */
export function inlineCredentials(backends: MapNode | undefined): readonly Problem[] {
  const warnings: Problem[] = [];
  for (const [name, backend] of backends?.entries ?? []) {
    const headers = backend.kind === "map" ? backend.entries.get("headers") : undefined;
    if (headers?.kind !== "map") continue;
    for (const [header, value] of headers.entries) {
      const isInline = value.kind === "scalar" && value.variables.length === 0 && value.value;
      if (!isInline || !looksLikeCredential(header)) continue;
      const variable = `${name}_${header}`.toUpperCase().replace(/[^A-Z0-9]/g, "_");
      const key = keyOf(["backends", name, "headers", header]);
      warnings.push({ line: value.line, key, message: inlineMessage(variable) });
    }
  }
  return warnings;
}

export const inlineMessage = (variable: string): string =>
  `a secret stands in the file; put it in an environment variable and write \${${variable}}`;

function each(
  values: readonly string[],
  path: Path,
  problemOf: (value: string) => string | undefined,
  report: Report,
): void {
  values.forEach((value, index) => {
    const problem = problemOf(value);
    if (problem) report([...path, `[${index}]`], problem);
  });
}

/** What is wrong with a backend's URL, if anything. */
export function urlProblem(text: string): string | undefined {
  const example = "such as http://127.0.0.1:8188";
  const url = URL.parse(text);
  if (!url) return `expected a URL ${example}, got ${shown(text)}`;
  if (url.username || url.password) {
    return "a URL must not carry a user name or password; put the credential in `headers`";
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return `expected a URL with http:// or https:// ${example}, got ${shown(text)}`;
  }
  if (text.includes("?") || text.includes("#")) {
    return "a base URL must not contain ? or #; credentials belong in `headers`";
  }
  return undefined;
}

function originProblem(text: string): string | undefined {
  const example = "such as https://app.example.org";
  if (text === "*") return `* is not accepted; list exact origins ${example}`;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) {
    return `expected an origin ${example}, got ${shown(text)}`;
  }
  if (url.origin === text) return undefined;
  return `expected only scheme, host and port; did you mean \`${url.origin}\`?`;
}

function hostProblem(text: string): string | undefined {
  if (isIP(text) || /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(text)) return undefined;
  return `expected a host name without scheme, port or path, got ${shown(text)}`;
}

function rangeProblem(text: string): string | undefined {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  const widest = family === 6 ? 128 : 32;
  const isRange = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= widest);
  if (family !== 0 && rest.length === 0 && isRange) return undefined;
  return `expected an address or range such as 10.0.0.0/8, got ${shown(text)}`;
}

/** A malformed URL may still carry a password. */
const shown = (text: string): string =>
  text.includes("@")
    ? "something else (not shown: it contains @)"
    : JSON.stringify(text.slice(0, 80));
