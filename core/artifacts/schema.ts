/** How an artifact looks on the wire. */
import { type Static, Type as t } from "@sinclair/typebox";
import type { StoredArtifact } from "./stored.ts";

export const artifactSchema = t.Object({
  id: t.String({ format: "uuid" }),
  name: t.String({ description: "For display and download." }),
  role: t.Union([t.Literal("output"), t.Literal("preview"), t.Literal("input")], {
    description:
      "output: the job made it. preview: shows what the job made. input: came with the request.",
  }),
  url: t.String({ description: "Path on this gateway; needs the key, or a ticket for it." }),
  sha256: t.String({ description: "Lower-case hexadecimal; also the ETag." }),
  media_type: t.String({ description: "Found in the bytes, not taken from the backend." }),
  size_bytes: t.Integer({ minimum: 1 }),
  expires_at: t.Union([t.String({ format: "date-time" }), t.Null()], {
    description: "null: kept until its job is removed. An input stays until its job has ended.",
  }),
  metadata: t.Record(t.String(), t.Unknown()),
});

export type ArtifactWire = Static<typeof artifactSchema>;

export function artifactToWire(artifact: StoredArtifact): ArtifactWire {
  const { id, name, role, url, sha256, mediaType, sizeBytes, expiresAtMs, metadata } = artifact;
  return {
    id,
    name,
    role,
    url,
    sha256,
    media_type: mediaType,
    size_bytes: sizeBytes,
    expires_at: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString(),
    metadata,
  };
}

export const exampleArtifact: ArtifactWire = {
  id: "0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21",
  name: "speech.wav",
  role: "output",
  url: "/artifacts/0199f3a2-8d10-7c3e-8a41-5e0f6b7c9d21",
  sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  media_type: "audio/wav",
  size_bytes: 48_044,
  expires_at: "2026-12-23T12:00:00.000Z",
  metadata: { duration_seconds: 1.089 },
};
