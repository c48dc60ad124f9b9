/** What a key may do. Names are part of the API: see docs/api.md. */

export const SCOPES = [
  "generate:image",
  "generate:video",
  "generate:audio",
  "generate:music",
  "generate:raw",
  "tts",
  "llm",
  "memory:read",
  "memory:write",
  "jobs:read",
  "jobs:cancel",
  "jobs:admin",
  "gpu:read",
  "gpu:admin",
  "keys:admin",
  "config:admin",
  "metrics",
] as const;

export type Scope = (typeof SCOPES)[number];

const CLIENT: readonly Scope[] = [
  "generate:image",
  "generate:video",
  "generate:audio",
  "generate:music",
  "tts",
  "llm",
  "memory:read",
  "memory:write",
  "jobs:read",
  "jobs:cancel",
];

/** `client` works with its own jobs; `operator` also with everybody's and with the GPUs. */
export const PRESETS = {
  client: CLIENT,
  readonly: ["jobs:read", "memory:read", "gpu:read"],
  operator: [...CLIENT, "generate:raw", "jobs:admin", "gpu:read", "gpu:admin", "metrics"],
  admin: SCOPES,
} as const satisfies Record<string, readonly Scope[]>;

export type Preset = keyof typeof PRESETS;
