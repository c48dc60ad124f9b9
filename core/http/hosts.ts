/**
 * Which Host headers are this gateway's own. A page whose name was rebound to our address (DNS
 * rebinding) sends its own name; an IP address cannot be rebound, so every address is let through.
 */
import { isIP } from "node:net";
import { hostname } from "node:os";

const REMEMBERED = 1_000;

export function createHostCheck(
  bound: string,
  allowed: readonly string[],
): (host: string) => boolean {
  const names = new Set(
    ["localhost", bound, hostname(), ...allowed].map((name) => name.toLowerCase()),
  );
  const verdicts = new Map<string, boolean>();

  function decide(host: string): boolean {
    const parsed = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i.exec(host);
    const name = parsed?.[1]?.toLowerCase();
    // A port above 65535 or broken Punycode fits the pattern, and would make every URL parser
    // throw.
    if (name === undefined || !URL.canParse(`http://${host}`)) return false;
    const address = name.startsWith("[") ? name.slice(1, -1) : name;
    return names.has(name) || isIP(address) !== 0 || name.endsWith(".local");
  }

  return (host) => {
    const known = verdicts.get(host);
    if (known !== undefined) return known;
    const verdict = decide(host);
    if (verdicts.size < REMEMBERED) verdicts.set(host, verdict);
    return verdict;
  };
}
