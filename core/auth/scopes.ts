/** What a key may do. Names are part of the API: see docs/api.md. */

export const SCOPES = [
  "generate:image",
  "generate:video",
  "generate:audio",
  "generate:music",
  "generate:raw",
  "generate:other",
  "tts",
  "llm",
  "memory:read",
  "memory:write",
  "jobs:read",
  "jobs:cancel",
  "jobs:admin",
  "gpu:read",
  "gpu:lease",
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
  "generate:other",
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

/** Scopes that come with another one. `jobs:admin` reads and cancels everybody's jobs. */
const IMPLIED: { readonly [Owned in Scope]?: readonly Scope[] } = {
  "jobs:admin": ["jobs:read", "jobs:cancel"],
  "gpu:admin": ["gpu:read", "gpu:lease"],
};

/** What a key with these scopes may do in the end; names this version does not know are dropped. */
export function effectiveScopes(granted: Iterable<string>): ReadonlySet<Scope> {
  const effective = new Set<Scope>();
  for (const scope of granted) {
    if (!isScope(scope)) continue;
    effective.add(scope);
    for (const implied of IMPLIED[scope] ?? []) effective.add(implied);
  }
  return effective;
}

export function isScope(text: string): text is Scope {
  return SCOPES.some((scope) => scope === text);
}

export function isPreset(text: string): text is Preset {
  return Object.hasOwn(PRESETS, text);
}

/** The scope for each kind of work; `generate:other` for kinds that a plugin invented. */
const CAPABILITY_SCOPES: Readonly<Record<string, Scope>> = {
  "image.generate": "generate:image",
  "video.generate": "generate:video",
  "audio.generate": "generate:audio",
  "music.generate": "generate:music",
  "speech.synthesize": "tts",
  "text.generate": "llm",
  "text.embed": "llm",
};

export function scopeOfCapability(kind: string): Scope {
  return CAPABILITY_SCOPES[kind] ?? "generate:other";
}
