/** No plugin can take, shadow or break a route that is not its own. */
import { describe, expect, test } from "bun:test";
import { createRouteClaims, RESERVED } from "../../../core/host/mod.ts";
import { type AnyPlugin, definePlugin, inputs, t } from "../../../core/sdk/mod.ts";
import { EVERYTHING, routeTable } from "../../e2e/table.ts";

type Name = `${"GET" | "POST" | "DELETE"} /${string}`;

function plugin(work: Record<string, Name>, direct: readonly Name[] = []): AnyPlugin {
  const handle = async () => ({});
  const example = {};
  return definePlugin({
    apiVersion: 1,
    name: "test",
    version: "1.0.0",
    title: "Test",
    summary: "Has routes.",
    config: {},
    capabilities: Object.fromEntries(
      Object.entries(work).map(([kind, route]) => [
        kind,
        { route, input: t.Object({}), example, run: () => ({}) },
      ]),
    ),
    routes: Object.fromEntries(
      direct.map((route) => [route, { route, input: inputs.none, scope: "llm", handle }]),
    ),
    health: async () => ({ status: "ready" }),
  });
}

describe("the claims of plugins to routes", () => {
  test("several plugins may do the same work, or answer directly, on one route", () => {
    const claim = createRouteClaims();
    const one = plugin({ "image.generate": "POST /generate/image" }, ["GET /llm/models"]);
    for (const again of [one, one, one]) expect(claim(again)).toBeUndefined();
  });

  test("the gateway's own paths are refused, in any method", () => {
    for (const route of ["GET /auth/x", "POST /jobs", "DELETE /artifacts/:x", "GET /ws"] as const) {
      expect(createRouteClaims()(plugin({}, [route]))).toContain("belongs to the gateway");
    }
    for (const route of ["GET /", "GET /:any", "POST /:any/x"] as const) {
      expect(createRouteClaims()(plugin({}, [route]))).toContain("belongs to the gateway");
    }
  });

  test("one route for two kinds of work is refused to the second", () => {
    const claim = createRouteClaims();
    expect(claim(plugin({ "a.b": "POST /x" }))).toBeUndefined();
    expect(claim(plugin({ "c.d": "POST /x" }))).toContain("already used for a.b");
    expect(claim(plugin({}, ["POST /x"]))).toContain("already used for a.b");
    expect(claim(plugin({}, ["GET /x"]))).toBeUndefined();
    expect(createRouteClaims()(plugin({ "a.b": "POST /x", "c.d": "POST /x" }))).toContain("a.b");
  });

  test("two names for one parameter are refused, which the router could not mount", () => {
    const claim = createRouteClaims();
    expect(claim(plugin({}, ["GET /x/:id", "GET /x/:id/y"]))).toBeUndefined();
    expect(claim(plugin({}, ["GET /x/:other/z"]))).toContain('"other" that is "id"');
    expect(claim(plugin({}, ["DELETE /x/:other"]))).toBeUndefined();
  });

  test("who is refused has taken nothing", () => {
    const claim = createRouteClaims();
    expect(claim(plugin({}, ["GET /free", "GET /jobs"]))).toBeDefined();
    expect(claim(plugin({ "a.b": "GET /free" }))).toBeUndefined();
  });

  test("every path of the gateway is reserved, and none of its plugins' is", async () => {
    const own = await routeTable("log: { level: warn }\nbackends: {}\n");
    const mine = own.map(({ path }) => path.split("/")[1] ?? "");
    expect([...new Set(mine)].filter((first) => !RESERVED.has(first))).toEqual([]);
    const all = await routeTable(EVERYTHING);
    const theirs = all.filter((route) => !own.some(({ path }) => path === route.path));
    expect(theirs.length).toBeGreaterThan(6);
    for (const { path } of theirs) expect(RESERVED.has(path.split("/")[1] ?? "")).toBe(false);
  });
});
