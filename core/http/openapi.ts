/**
 * The OpenAPI 3.1 document, made by @elysiajs/openapi from the same table of routes that is served,
 * and the page that shows it. All of the page's files are served from here: no CDN.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type TSchema, Type as t } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { CATALOGUE, GatewayError } from "../errors.ts";
import { bodyDocs } from "./openapi-files.ts";
import { type Route, route } from "./route.ts";

interface Description {
  readonly title: string;
  readonly version: string;
}

const PUBLIC = { access: "public" } as const;
const DOCUMENT = "/document";
const CODES = Object.keys(CATALOGUE);

const errorSchema = t.Object({
  success: t.Literal(false),
  data: t.Null(),
  error: t.Object({
    code: t.String({ examples: CODES }),
    message: t.String(),
    details: t.Optional(
      t.Object({
        retryable: t.Boolean(),
        request_id: t.String(),
        hint: t.Optional(t.String()),
      }),
    ),
  }),
  timestamp: t.String({ format: "date-time" }),
});

/**
 * The routes of the documentation itself; `routes` is called when the document is first asked for.
 */
export function documentationRoutes(
  routes: () => readonly Route[],
  description: Description,
): Route[] {
  let document: Promise<unknown> | undefined;
  const docs = (summary: string) => ({ tag: "documentation", summary });
  return [
    route({
      method: "GET",
      path: "/swagger",
      policy: PUBLIC,
      docs: docs("This documentation as a page"),
      handle: () => page(),
    }),
    route({
      method: "GET",
      path: "/swagger/json",
      policy: PUBLIC,
      docs: docs("The OpenAPI 3.1 document"),
      async handle() {
        document ??= makeDocument(routes(), description);
        return new Response(JSON.stringify(await document), {
          headers: { "content-type": "application/json; charset=utf-8" },
        });
      },
    }),
    route({
      method: "GET",
      path: "/swagger/assets/:file",
      policy: PUBLIC,
      params: t.Object({ file: t.String() }),
      docs: docs("The page's own files"),
      handle: ({ params }) => asset(params.file),
    }),
  ];
}

async function makeDocument(routes: readonly Route[], info: Description): Promise<unknown> {
  // Loaded when somebody reads the documentation: the start is quicker and smaller without it.
  const { openapi } = await import("@elysiajs/openapi");
  const app = new Elysia().use(
    openapi({
      provider: null,
      // A path that no route of ours has.
      specPath: DOCUMENT,
      documentation: {
        info: { ...info, description: "One gateway for every AI server on your own GPUs." },
        components: {
          securitySchemes: {
            apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
            bearer: { type: "http", scheme: "bearer" },
          },
          schemas: { Error: JSON.parse(JSON.stringify(errorSchema)) },
        },
      },
    }),
  );
  for (const entry of routes) {
    app.route(entry.method, entry.path, () => "", { detail: operation(entry) as never });
  }
  const answer = await app.handle(new Request(`http://localhost${DOCUMENT}`));
  return withParameters(await answer.json(), routes);
}

/** Where a path has parameters the generator keeps those and drops the query. */
function withParameters(
  document: { paths: Record<string, Record<string, { parameters?: unknown }>> },
  routes: readonly Route[],
) {
  for (const entry of routes) {
    const path = entry.path.replace(/:(\w+)/g, "{$1}");
    const found = document.paths[path]?.[entry.method.toLowerCase()];
    const { parameters } = operation(entry);
    if (found && parameters.length > 0) found.parameters = parameters;
  }
  return document;
}

function operation(entry: Route) {
  const { docs, policy, method, path } = entry;
  const schema = entry.body ?? docs.bodySchema;
  const body = schema && bodyDocs(schema, docs.exampleBody);
  const isPublic = policy.access === "public" || policy.access === "bootstrap";
  const scope = isPublic || policy.access === "any" ? "" : `Needs the scope \`${policy.access}\`. `;
  const ticket = policy.ticket ? "A single-use `?ticket=` may stand in for the key. " : "";
  return {
    tags: [docs.tag],
    operationId: `${method} ${path}`
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "_")
      .replace(/_$/, ""),
    summary: docs.summary,
    description: [docs.description, body?.words, `${scope}${ticket}`.trim()]
      .filter(Boolean)
      .join("\n\n"),
    security: isPublic ? [] : [{ apiKey: [] }, { bearer: [] }],
    parameters: [
      ...parameters("path", entry.params),
      ...parameters("query", entry.query),
      ...parameters("query", docs.querySchema),
    ],
    ...(body && { requestBody: { required: true, content: body.content } }),
    responses: {
      [docs.status ?? 200]: {
        description: docs.summary,
        ...(docs.data && {
          content: {
            "application/json": {
              schema: t.Object({
                success: t.Literal(true),
                data: docs.data,
                error: t.Null(),
                timestamp: t.String({ format: "date-time" }),
              }),
              ...(docs.exampleData !== undefined && {
                example: {
                  success: true,
                  data: docs.exampleData,
                  error: null,
                  timestamp: "2026-11-23T03:52:00.000Z",
                },
              }),
            },
          },
        }),
      },
      default: {
        description: "An error, in the same envelope",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

function parameters(place: "path" | "query", schema: TSchema | undefined) {
  const required: readonly string[] = schema?.required ?? [];
  return Object.entries((schema?.properties ?? {}) as Record<string, TSchema>).map(
    ([name, property]) => ({
      name,
      in: place,
      required: place === "path" || (required.includes(name) && property.default === undefined),
      schema: property,
      ...(property.description && { description: property.description }),
    }),
  );
}

const ASSETS: Readonly<Record<string, string>> = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  "favicon-32x32.png": "image/png",
};
const START = `SwaggerUIBundle({
  url: "/swagger/json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
});
`;
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Switchyard API</title>
<link rel="icon" href="/swagger/assets/favicon-32x32.png">
<link rel="stylesheet" href="/swagger/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/swagger/assets/swagger-ui-bundle.js"></script>
<script src="/swagger/assets/start.js"></script>
</body>
</html>
`;
/** Swagger UI sets style attributes; scripts come from here alone. */
const PAGE_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
  "object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

function page(): Response {
  return new Response(PAGE, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": PAGE_POLICY,
    },
  });
}

function asset(file: string): Response {
  const cache = { "cache-control": "public, max-age=3600" };
  if (file === "start.js") {
    return new Response(START, {
      headers: { ...cache, "content-type": "text/javascript; charset=utf-8" },
    });
  }
  const type = Object.hasOwn(ASSETS, file) ? ASSETS[file] : undefined;
  if (type === undefined) throw new GatewayError("NOT_FOUND", "The page has no such file");
  const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  return new Response(readFileSync(join(folder, file)), {
    headers: { ...cache, "content-type": type },
  });
}
