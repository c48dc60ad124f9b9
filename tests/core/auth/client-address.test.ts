/** Whose address counts behind a reverse proxy. */
import { describe, expect, test } from "bun:test";
import { createClientAddress } from "../../../core/auth/client-address.ts";

const from = (forwarded?: string) =>
  new Request("http://localhost/", {
    headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded },
  });

describe("the client's address", () => {
  const address = createClientAddress(["10.0.0.0/8", "127.0.0.1", "fd00::/8"]);

  test("is the peer's, whatever it claims, when the peer is no configured proxy", () => {
    expect(address(from("1.2.3.4"), "203.0.113.9")).toBe("203.0.113.9");
    expect(createClientAddress([])(from("1.2.3.4"), "127.0.0.1")).toBe("127.0.0.1");
  });

  test("is what the nearest proxy saw, not what the client wrote before it", () => {
    expect(address(from("6.6.6.6, 203.0.113.9"), "127.0.0.1")).toBe("203.0.113.9");
    expect(address(from("6.6.6.6, 203.0.113.9, 10.1.2.3"), "::ffff:10.0.0.1")).toBe("203.0.113.9");
    expect(address(from("2001:db8::7"), "fd00::1")).toBe("2001:db8::7");
  });

  test("stays the proxy's when the header is missing or nonsense", () => {
    expect(address(from(), "127.0.0.1")).toBe("127.0.0.1");
    expect(address(from("unknown, drop table"), "127.0.0.1")).toBe("127.0.0.1");
    expect(address(from("10.1.1.1"), "127.0.0.1")).toBe("127.0.0.1");
  });
});
