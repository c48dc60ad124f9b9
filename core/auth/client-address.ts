/**
 * The address that a request really came from. `X-Forwarded-For` is only believed from a configured
 * proxy, and of its list only what proxies added: read from the right, the first that is none of
 * them.
 */
import { BlockList, isIP } from "node:net";

export type ClientAddress = (request: Request, peer: string) => string;

/** `trustedProxies`: addresses or CIDR ranges. */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddress {
  if (trustedProxies.length === 0) return (_request, peer) => peer;
  const proxies = new BlockList();
  for (const range of trustedProxies) {
    const [address = "", bits] = range.split("/");
    const family = familyOf(address);
    if (!family) continue;
    if (bits === undefined) proxies.addAddress(address, family);
    else proxies.addSubnet(address, Number(bits), family);
  }
  const isProxy = (address: string): boolean => {
    const plain = unmapped(address);
    const family = familyOf(plain);
    return family !== undefined && proxies.check(plain, family);
  };

  return (request, peer) => {
    if (!isProxy(peer)) return peer;
    const hops = (request.headers.get("x-forwarded-for") ?? "").split(",").map((hop) => hop.trim());
    const client = hops.reverse().find((hop) => isIP(hop) !== 0 && !isProxy(hop));
    return client ?? peer;
  };
}

/** An IPv4 address inside IPv6, as a socket for both families shows it. */
function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  if (version === 0) return undefined;
  return version === 4 ? "ipv4" : "ipv6";
}
