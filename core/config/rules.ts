/** What a schema cannot say: settings that must fit each other, addresses, devices, processes. */
import { isIP } from "node:net";
import { nearest } from "../sdk/nearest.ts";
import { keyOf, type Path, type Problem } from "./problems.ts";
import type { GatewayConfig } from "./schema.ts";
import { looksLikeCredential, namesCredential } from "./secrets.ts";
import { lineOf, type MapNode, type SourceNode } from "./source.ts";

/** A token of RFC 9110. Any other name makes every request to the backend fail. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const POLICIES = ["fair", "fifo", "exclusive"];
const WAYS_TO_START = ["command", "systemd", "docker"];
/** What people write out of habit where a shell would read it. */
const SHELL_WORDS = new Set(["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"]);

type Report = (path: Path, message: string) => void;
type Device = GatewayConfig["devices"][string];
type Process = NonNullable<GatewayConfig["backends"][string]["process"]>;

export function checkRules(config: GatewayConfig, root: SourceNode): readonly Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, message) => {
    problems.push({ line: lineOf(root, path), key: keyOf(path), message });
  };
  each(config.http.allowed_hosts, ["http", "allowed_hosts"], hostProblem, report);
  each(config.http.allowed_origins, ["http", "allowed_origins"], originProblem, report);
  each(config.http.trusted_proxies, ["http", "trusted_proxies"], rangeProblem, report);
  const devices = Object.keys(config.devices);
  const policy = policyProblem(config.vram.policy);
  if (policy) report(["vram", "policy"], policy);
  checkDevices(config, root, report);
  checkSharedProcesses(config, report);
  for (const [name, { url, device, headers, process }] of Object.entries(config.backends)) {
    if (process) checkProcess(process, ["backends", name, "process"], root, report);
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

function checkDevices({ devices }: GatewayConfig, root: SourceNode, report: Report): void {
  const seen = new Map<string, string>();
  for (const [name, device] of Object.entries(devices)) {
    const { probe, probe_command, probe_via, simulated_folder, memory_mib, headroom_mib } = device;
    const tell = (setting: keyof Device, message: string | undefined): void => {
      if (message) report(["devices", name, setting], message);
    };
    const isSimulated = probe === "simulated";
    if (probe_command && probe !== "auto") {
      tell("probe_command", `takes the place of \`probe\`; remove it or \`probe: ${probe}\``);
    } else if (isSimulated && !keysAt(root, ["devices", name]).has("simulated_folder")) {
      tell("simulated_folder", "is needed for `probe: simulated`; name a folder");
    }
    if (!isSimulated && simulated_folder !== undefined) {
      tell("simulated_folder", "belongs to `probe: simulated`; add that, or remove the folder");
    }
    if (memory_mib !== undefined && headroom_mib >= memory_mib) {
      const message = `${headroom_mib} MiB leave nothing of memory_mib (${memory_mib}); lower it`;
      tell("headroom_mib", message);
    }
    checkArgv(probe_command, ["devices", name, "probe_command"], report);
    checkArgv(probe_via, ["devices", name, "probe_via"], report);
    tell("simulated_folder", simulated_folder && pathProblem(simulated_folder));
    const identity = identityOf(device);
    if (!identity) continue;
    const same = seen.get(identity.key);
    if (same)
      tell(identity.setting, `the same as that of devices.${same}; a GPU stands here only once`);
    else seen.set(identity.key, name);
  }
}

/** What makes two devices one, as far as the file tells; their memory would count twice. */
function identityOf(
  device: Device,
): { setting: "id" | "simulated_folder"; key: string } | undefined {
  const { probe, probe_command, probe_via = [], id, simulated_folder } = device;
  if (probe === "simulated" && simulated_folder !== undefined) {
    return { setting: "simulated_folder", key: JSON.stringify([simulated_folder]) };
  }
  if (probe === "none" || probe_command || id === undefined) return undefined;
  return { setting: "id", key: JSON.stringify([probe_via, id.toLowerCase()]) };
}

function checkProcess(process: Process, path: Path, root: SourceNode, report: Report): void {
  // As written: what could not be read is reported already, and is not absent.
  const written = keysAt(root, path);
  const [way, ...others] = WAYS_TO_START.filter((each) => written.has(each));
  if (way === undefined || others.length > 0) {
    const found = way === undefined ? "there is none" : `got ${[way, ...others].join(" and ")}`;
    report(path, `expected one of command, systemd and docker; ${found}`);
    return;
  }
  for (const setting of ["cwd", "env"] as const) {
    if (way === "command" || !written.has(setting)) continue;
    const line = setting === "cwd" ? "WorkingDirectory=" : "Environment=";
    const instead =
      way === "systemd"
        ? `write ${line} into the unit`
        : "a container gets its own when it is made";
    report([...path, setting], `belongs to \`command\`; ${instead}`);
  }
  if (way !== "systemd" && written.has("systemd_user")) {
    report([...path, "systemd_user"], "belongs to `systemd`; remove it");
  }
  if (process.start === "always" && process.idle_stop_ms !== undefined) {
    report([...path, "idle_stop_ms"], "contradicts `start: always`; remove one of them");
  }
  checkArgv(process.command, [...path, "command"], report);
  const folder = process.cwd === undefined ? undefined : pathProblem(process.cwd);
  if (folder) report([...path, "cwd"], folder);
}

/** Two supervisors of one server would start and stop it against each other. */
function checkSharedProcesses({ backends }: GatewayConfig, report: Report): void {
  const seen = new Map<string, string>();
  for (const [name, { enabled, process }] of Object.entries(backends)) {
    if (!enabled || !process) continue;
    const { command, cwd, env, systemd, systemd_user, docker } = process;
    if (!command && !systemd && !docker) continue;
    const key = JSON.stringify({ command, cwd, env, systemd, systemd_user, docker });
    const first = seen.get(key);
    if (!first) seen.set(key, name);
    else {
      const message = `starts the same server as backends.${first}; keep it at one of them`;
      report(["backends", name, "process"], message);
    }
  }
}

function checkArgv(argv: readonly string[] | undefined, path: Path, report: Report): void {
  const [only = ""] = argv ?? [];
  if (argv?.length === 1 && /\s/.test(only.trim())) {
    report(path, "no shell splits this; give every word an entry: [python, main.py, --listen]");
  }
  argv?.forEach((word, index) => {
    const message = SHELL_WORDS.has(word)
      ? `no shell reads this, so "${word}" would go to the program; put it into a script`
      : pathProblem(word);
    if (message) report([...path, `[${index}]`], message);
  });
}

const pathProblem = (path: string): string | undefined =>
  /^~(\/|$)/.test(path)
    ? `~ means nothing here; write "\${HOME}${path.slice(1)}", or the full path`
    : undefined;

function policyProblem(policy: string): string | undefined {
  if (POLICIES.includes(policy) || /^\.?\//.test(policy)) return undefined;
  if (policy.startsWith("~")) return pathProblem(policy);
  if (/\/|\.[cm]?[jt]s$/.test(policy)) {
    return `the path of a policy starts with ./ or /; did you mean \`./${policy}\`?`;
  }
  const meant = nearest(policy, POLICIES);
  const wanted = `expected ${POLICIES.join(", ")}, or a path such as ./policy.ts`;
  return `${wanted}, got ${shown(policy)}${meant ? `; did you mean \`${meant}\`?` : ""}`;
}

/** The settings that stand at a place of the file. */
function keysAt(root: SourceNode, path: Path): ReadonlySet<string> {
  let node: SourceNode | undefined = root;
  for (const part of path) node = node?.kind === "map" ? node.entries.get(part) : undefined;
  return new Set(node?.kind === "map" ? node.entries.keys() : []);
}

/** Credentials that stand in the file itself, where copies and screenshots take them along. */
export function inlineCredentials(backends: MapNode | undefined): readonly Problem[] {
  const warnings: Problem[] = [];
  const look = (
    path: Path,
    map: SourceNode | undefined,
    isCredential: (name: string) => boolean,
  ) => {
    if (map?.kind !== "map") return;
    for (const [name, value] of map.entries) {
      const isInline = value.kind === "scalar" && value.variables.length === 0 && value.value;
      if (!isInline || !isCredential(name)) continue;
      const variable = `${path[1]}_${name}`.toUpperCase().replace(/[^A-Z0-9]/g, "_");
      const key = keyOf([...path, name]);
      warnings.push({ line: value.line, key, message: inlineMessage(variable) });
    }
  };
  for (const [name, backend] of backends?.entries ?? []) {
    if (backend.kind !== "map") continue;
    look(["backends", name, "headers"], backend.entries.get("headers"), looksLikeCredential);
    const process = backend.entries.get("process");
    const env = process?.kind === "map" ? process.entries.get("env") : undefined;
    look(["backends", name, "process", "env"], env, namesCredential);
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
