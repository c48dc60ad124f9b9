/**
 * The documentation: complete, correct OpenAPI 3.1, and a page that loads nothing from elsewhere.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Value } from "@sinclair/typebox/value";
import type { Route } from "../../core/http/mod.ts";
import { type Gateway, RUNTIME, startGateway } from "../gateway.ts";
import { EVERYTHING, routeTable } from "./table.ts";

const METHODS = ["get", "post", "delete"];
const JSON_TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];

describe(`the documentation on ${RUNTIME}`, () => {
  let gateway: Gateway;
  let routes: readonly Route[];
  let document: any;
  beforeAll(async () => {
    [gateway, routes] = await Promise.all([startGateway({ config: EVERYTHING }), routeTable()]);
    document = (await gateway.call("GET", "/swagger/json", undefined, { key: null })).json;
  });
  afterAll(() => gateway.remove());

  const operations = (): [string, any][] =>
    Object.entries<any>(document.paths).flatMap(([path, methods]) =>
      Object.entries<any>(methods).map(([method, it]): [string, any] => [`${method} ${path}`, it]),
    );

  /** Every schema object in a part of the document, with where it stands. */
  function* schemas(part: any, place: string): Generator<[string, any]> {
    if (typeof part !== "object" || part === null) return;
    for (const [name, value] of Object.entries<any>(part)) {
      if (name === "example" || name === "examples" || name === "default") continue;
      if (name === "schema") yield* within(value, `${place}.${name}`);
      else yield* schemas(value, `${place}.${name}`);
    }
  }
  function* within(schema: any, place: string): Generator<[string, any]> {
    yield [place, schema];
    for (const [name, child] of Object.entries(schema.properties ?? {})) {
      yield* within(child, `${place}/${name}`);
    }
    for (const list of ["anyOf", "allOf", "oneOf"]) {
      for (const [index, child] of (schema[list] ?? []).entries()) {
        yield* within(child, `${place}/${list}/${index}`);
      }
    }
    if (schema.items && !Array.isArray(schema.items)) yield* within(schema.items, `${place}/items`);
  }

  test("it is OpenAPI 3.1 and says what it describes", () => {
    expect(document.openapi).toMatch(/^3\.1\.\d$/);
    expect(document.info).toMatchObject({ title: "Switchyard" });
    expect(document.info.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(Object.keys(document.components.securitySchemes).sort()).toEqual(["apiKey", "bearer"]);
  });

  test("every route is documented, with a summary, a tag and an id of its own", () => {
    const ids = new Set<string>();
    for (const [name, operation] of operations()) {
      const [method = "", path = ""] = name.split(" ");
      expect(METHODS).toContain(method);
      expect([name, operation.summary?.length > 3]).toEqual([name, true]);
      expect([name, operation.tags?.length]).toEqual([name, 1]);
      expect([name, ids.has(operation.operationId)]).toEqual([name, false]);
      ids.add(operation.operationId);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      const declared = operation.parameters?.filter((it: any) => it.in === "path") ?? [];
      expect([name, declared.map((it: any) => it.name)]).toEqual([name, inPath as any]);
      for (const parameter of declared) expect(parameter.required).toBe(true);
      const statuses = Object.keys(operation.responses);
      expect(statuses.some((status) => status.startsWith("2"))).toBe(true);
      expect(statuses).toContain("default");
    }
    expect(ids.size).toBe(routes.length);
  });

  test("every operation names its security, and only public ones have none", () => {
    for (const { method, path, policy } of routes) {
      const name = `${method.toLowerCase()} ${path.replace(/:(\w+)/g, "{$1}")}`;
      const operation = operations().find(([it]) => it === name)?.[1];
      const isOpen = policy.access === "public" || policy.access === "bootstrap";
      const expected = isOpen ? [] : [{ apiKey: [] }, { bearer: [] }];
      expect([name, operation?.security]).toEqual([name, expected]);
      if (!isOpen && policy.access !== "any") {
        expect(operation.description).toContain(`\`${policy.access}\``);
      }
    }
  });

  test("bodies have a schema and an example that the schema accepts", () => {
    for (const route of routes) {
      const schema = route.body ?? route.docs.bodySchema;
      const { exampleBody, exampleData, data } = route.docs;
      const name = `${route.method} ${route.path}`;
      if (schema && exampleBody !== undefined) {
        expect([name, TypeCompiler.Compile(schema).Check(exampleBody)]).toEqual([name, true]);
      }
      if (data && exampleData !== undefined) {
        expect([name, TypeCompiler.Compile(data).Check(exampleData)]).toEqual([name, true]);
      }
    }
    for (const [name, { requestBody }] of operations()) {
      if (!requestBody) continue;
      const { schema, example } = requestBody.content["application/json"];
      expect([name, typeof schema]).toEqual([name, "object"]);
      if (!name.includes("/puppet/")) expect([name, typeof example]).toEqual([name, "object"]);
    }
  });

  test("every schema is JSON Schema, and every $ref leads somewhere", () => {
    let count = 0;
    for (const [place, schema] of schemas(document, "#")) {
      count += 1;
      const { type, $ref, required = [], properties = {} } = schema;
      const types = type === undefined ? [] : [type].flat();
      for (const one of types) expect([place, JSON_TYPES.includes(one)]).toEqual([place, true]);
      for (const name of required) expect([place, name in properties]).toEqual([place, true]);
      if (schema.pattern) expect(() => new RegExp(schema.pattern)).not.toThrow();
      if ($ref === undefined) continue;
      const target = $ref
        .slice(2)
        .split("/")
        .reduce((at: any, name: string) => at?.[name], document);
      expect([place, typeof target]).toEqual([place, "object"]);
    }
    expect(count).toBeGreaterThan(200);
    const text = JSON.stringify(document);
    expect(text).not.toContain("localhost");
    expect(() => JSON.parse(text)).not.toThrow();
  });

  test("what the gateway answers is what it documents", async () => {
    const dance = { text: "a jig", file: "words" };
    const { data } = await gateway.call("POST", "/generate/dance", dance);
    await gateway.ended(data.job_id);
    const paths: [string, string][] = [
      ["/jobs", "/jobs"],
      ["/jobs/:job_id", `/jobs/${data.job_id}`],
      ["/jobs/:job_id/artifacts", `/jobs/${data.job_id}/artifacts`],
      ["/auth/keys", "/auth/keys"],
      ["/auth/me", "/auth/me"],
      ["/backends", "/backends"],
      ["/health", "/health"],
      ["/ready", "/ready"],
    ];
    for (const [path, url] of paths) {
      const route = routes.find((it) => it.method === "GET" && it.path === path)!;
      const answer = await gateway.call("GET", url);
      const schema = route.docs.data!;
      const [problem] = TypeCompiler.Compile(schema).Errors(answer.data);
      expect([path, problem?.path, problem?.message]).toEqual([path, undefined, undefined]);
      expect(Value.Clean(schema, structuredClone(answer.data))).toEqual(answer.data);
    }
  });

  test("the page and its files come from here alone", async () => {
    const page = await gateway.call("GET", "/swagger", undefined, { key: null });
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("content-security-policy")).toContain("default-src 'self'");
    expect(page.headers.get("content-security-policy")).not.toMatch(
      /https?:|script-src[^;]*unsafe/,
    );
    const references = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!);
    expect(references.length).toBeGreaterThan(3);
    for (const url of references) {
      expect(url).toStartWith("/swagger/assets/");
      const asset = await gateway.call("GET", url, undefined, { key: null });
      expect([url, asset.status, asset.text.length > 50]).toEqual([url, 200, true]);
      expect(asset.headers.get("content-type")).toMatch(/^(text\/(css|javascript)|image\/png)/);
    }
    expect(page.text).not.toMatch(/https?:\/\//);
    for (const odd of [
      "package.json",
      "..%2f..%2fpackage.json",
      "constructor",
      "%00",
      "absolute-path.js",
    ]) {
      const answer = await gateway.call("GET", `/swagger/assets/${odd}`, undefined, { key: null });
      expect([odd, answer.status]).toEqual([odd, 404]);
    }
  });

  test("docs: false takes all of it away", async () => {
    const quiet = await startGateway({ config: "http: { docs: false }\n" });
    try {
      for (const path of ["/swagger", "/swagger/json", "/swagger/assets/start.js"]) {
        expect((await quiet.call("GET", path)).status).toBe(404);
      }
    } finally {
      await quiet.remove();
    }
  });
});
