/** Download, list and delete artifacts. Somebody else's and unknown are the same answer. */
import { Type as t } from "@sinclair/typebox";
import type { Principal } from "../auth/principal.ts";
import { GatewayError } from "../errors.ts";
import { type Route, route } from "../http/route.ts";
import type { Artifacts } from "./artifacts.ts";
import { disposition } from "./names.ts";
import { decideRange, isUnchanged, mayResume, type RangeDecision } from "./ranges.ts";
import { artifactSchema, artifactToWire, exampleArtifact } from "./schema.ts";
import { mayShowInline } from "./sniff.ts";
import type { StoredArtifact } from "./stored.ts";

export interface ArtifactAccess {
  /** Whether this principal may see what the key owns. */
  owns(principal: Principal, keyId: string): boolean;
  /** The key that owns the job; undefined when there is no such job. */
  keyOfJob(jobId: string): string | undefined;
}

/**
 * The bytes behind an id never change, but a removed artifact should not stay in browsers for
 * long.
 */
const CACHE = "private, max-age=86400, immutable";

/** Whatever the bytes are, a browser that opens them runs nothing and asks nobody. */
const SAFETY_HEADERS = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
} as const;

const artifactId = t.Object({ id: t.String({ description: "The artifact's id." }) });
const inlineQuery = t.Object({
  inline: t.Optional(
    t.Boolean({
      description: "`true`: shown in the browser instead of saved; images, audio and video only.",
    }),
  ),
});

export function artifactRoutes(artifacts: Artifacts, access: ArtifactAccess): Route[] {
  function owned(id: string, principal: Principal | undefined): StoredArtifact {
    const artifact = artifacts.get(id);
    if (artifact && principal && access.owns(principal, artifact.keyId)) return artifact;
    throw new GatewayError("NOT_FOUND", "There is no such artifact. It may have expired.");
  }

  return [
    route({
      method: "GET",
      path: "/artifacts/:id",
      policy: { access: "jobs:read", ticket: true },
      params: artifactId,
      query: inlineQuery,
      docs: {
        tag: "artifacts",
        summary: "Download a file",
        description:
          "The bytes themselves, without envelope. One `Range: bytes=` is served (206); `ETag` " +
          "is the SHA-256. HEAD gives the same headers.",
      },
      async handle({ params, query, principal, request }) {
        const artifact = owned(params.id, principal);
        return download(artifacts, artifact, request, query.inline === true);
      },
    }),
    route({
      method: "DELETE",
      path: "/artifacts/:id",
      policy: { access: "jobs:cancel" },
      params: artifactId,
      docs: {
        tag: "artifacts",
        summary: "Delete a file; its job stays",
        data: t.Object({ id: t.String(), deleted: t.Literal(true) }),
        exampleData: { id: exampleArtifact.id, deleted: true },
      },
      async handle({ params, principal }) {
        const { id } = owned(params.id, principal);
        await artifacts.remove(id);
        return { id, deleted: true };
      },
    }),
    route({
      method: "GET",
      path: "/jobs/:job_id/artifacts",
      policy: { access: "jobs:read" },
      params: t.Object({ job_id: t.String() }),
      docs: {
        tag: "artifacts",
        summary:
          "List the files of a job, oldest first: what it made, and what came with its request",
        data: t.Object({ items: t.Array(artifactSchema) }),
        exampleData: { items: [exampleArtifact] },
      },
      handle({ params, principal }) {
        const keyId = access.keyOfJob(params.job_id);
        if (keyId === undefined || !principal || !access.owns(principal, keyId)) {
          throw new GatewayError("NOT_FOUND", "There is no such job.");
        }
        return { items: artifacts.ofJob(params.job_id).map(artifactToWire) };
      },
    }),
  ];
}

async function download(
  artifacts: Artifacts,
  artifact: StoredArtifact,
  request: Request,
  inline: boolean,
): Promise<Response> {
  const { id, sizeBytes, mediaType } = artifact;
  const version = { etag: `"${artifact.sha256}"`, modifiedAtMs: artifact.createdAtMs };
  const headers = new Headers({
    ...SAFETY_HEADERS,
    etag: version.etag,
    "last-modified": new Date(version.modifiedAtMs).toUTCString(),
    "cache-control": CACHE,
    "accept-ranges": "bytes",
  });
  if (isUnchanged(request.headers, version)) return new Response(null, { status: 304, headers });

  const decision = rangeOf(request, version, sizeBytes);
  if (decision.kind === "unsatisfiable") {
    throw new GatewayError(
      "RANGE_NOT_SATISFIABLE",
      `The artifact has ${sizeBytes} bytes; "${request.headers.get("range")}" lies outside`,
      { headers: { "content-range": `bytes */${sizeBytes}` } },
    );
  }
  const range = decision.kind === "part" ? decision.range : undefined;
  const found = await artifacts.read(artifact, range);
  if (!found) {
    throw new GatewayError("NOT_FOUND", `The file of artifact ${id} is gone from the store`, {
      details: { hint: "Run the job again; the operator finds the cause in the gateway's log." },
    });
  }
  headers.set(
    "content-type",
    mediaType.startsWith("text/") ? `${mediaType}; charset=utf-8` : mediaType,
  );
  headers.set("content-length", String(range ? range.last - range.first + 1 : sizeBytes));
  const kind = inline && mayShowInline(mediaType) ? "inline" : "attachment";
  headers.set("content-disposition", disposition(kind, artifact.name));
  if (!range) return new Response(found.body, { headers });
  headers.set("content-range", `bytes ${range.first}-${range.last}/${sizeBytes}`);
  return new Response(found.body, { status: 206, headers });
}

function rangeOf(
  request: Request,
  version: { etag: string; modifiedAtMs: number },
  sizeBytes: number,
): RangeDecision {
  // Ranges are defined for GET alone (RFC 9110 section 14.2).
  const counts = request.method === "GET" && mayResume(request.headers, version);
  return decideRange(counts ? request.headers.get("range") : null, sizeBytes);
}
