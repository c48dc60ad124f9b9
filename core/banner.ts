/** What a person reads at the start: where everything is, how the backends are, what to do next. */
import { runtimeName } from "./runtime/mod.ts";
import { VERSION } from "./version.ts";

export interface BannerFacts {
  readonly url: string;
  readonly configPath: string;
  readonly folder: string;
  readonly backends: readonly {
    readonly name: string;
    readonly title: string;
    readonly url?: string;
    readonly status: string;
    readonly reason?: string;
    readonly version?: string;
  }[];
  readonly devices: readonly { readonly name: string; readonly words: string }[];
  /** Whether the first key can be created without a key now. */
  readonly firstKey: { readonly open: boolean; readonly windowMs: number };
  readonly docs: boolean;
}

export function banner(facts: BannerFacts): string {
  const { url, configPath, folder, backends, firstKey } = facts;
  const width = Math.max(0, ...backends.map(({ name }) => name.length));
  const lines = [
    `Switchyard ${VERSION} on ${runtimeName()}`,
    "",
    `  listening      ${url}`,
    ...(facts.docs ? [`  documentation  ${url}/swagger`] : []),
    `  configuration  ${configPath}`,
    `  data           ${folder}`,
    "",
    backends.length === 0 ? "No backends are configured." : "Backends",
    ...backends.map((backend) => `  ${backend.name.padEnd(width)}  ${condition(backend)}`),
    "",
    "GPUs",
    ...facts.devices.map(({ name, words }) => `  ${name}  ${words}`),
    "",
  ];
  if (firstKey.open) {
    lines.push(
      `No key exists yet. Create the first within ${Math.round(firstKey.windowMs / 60_000)} minutes:`,
      "",
      `  curl -X POST ${url}/auth/keys -H 'content-type: application/json' -d '{"name":"mobile-app"}'`,
      "",
    );
  }
  return `${lines.join("\n")}\n`;
}

function condition({ status, reason, version, url }: BannerFacts["backends"][number]): string {
  const facts = [version, url].filter(Boolean).join(", ");
  return [status.padEnd(8), facts, reason && `- ${reason}`].filter(Boolean).join(" ");
}
