/**
 * Every setting of `gateway.yaml`: type, default, unit and reason. The file's check, its example,
 * the editor schema and the types of the kernel all come from this one table. Marks of ours: `unit`
 * is shown to people, `secret` hides the value in logs, `names` says what a pattern allows.
 */
import { type Static, Type as t } from "@sinclair/typebox";
import { costOverride, device, ownProcess, vram } from "./schema-devices.ts";
import { count, list, MAX_TIMER_MS, section, span, timer } from "./schema-parts.ts";

const NAME = { pattern: "^[a-z][a-z0-9-]*$", words: "a-z, 0-9 and -, with a letter first" };
const DEVICE_NAME = {
  pattern: "^[a-z][a-z0-9_-]*$",
  words: "a-z, 0-9, - and _, with a letter first",
};
/** Any but a cost's, which stands here when somebody forgot the model above it. */
const MODEL_NAME = {
  pattern: "^(?!(resident_mib|working_mib|load_ms|run_ms)$)",
  words: "a model's name or *, with its costs below it",
};

const http = section("The address that clients use, and what may reach it.", {
  host: t.String({
    default: "127.0.0.1",
    minLength: 1,
    description:
      "Address to listen on: 127.0.0.1 for this machine only, 0.0.0.0 for every network. " +
      "SWITCHYARD_HOST wins.",
  }),
  port: t.Integer({
    default: 1301,
    minimum: 0,
    maximum: 65_535,
    description: "TCP port; 0 takes any free one. SWITCHYARD_PORT wins.",
  }),
  allowed_hosts: list(
    "Host names that a request may carry beside localhost, loopback and bound addresses, this " +
      "machine's name and *.local. Stops web pages that reach the gateway by DNS rebinding.",
  ),
  allowed_origins: list(
    "Web origins whose pages may call the API (CORS) and open WebSockets, exactly as browsers " +
      "send them: https://app.example.org",
  ),
  trusted_proxies: list(
    "Addresses or CIDR ranges of reverse proxies whose X-Forwarded-For is believed. When set, " +
      "the first key cannot be created without a key, because behind a proxy everyone looks local.",
  ),
  max_body_bytes: t.Integer({
    default: 1_048_576,
    minimum: 1024,
    maximum: 1_073_741_824,
    unit: "bytes",
    description: "Largest request body; a larger one gets 413.",
  }),
  max_upload_bytes: t.Integer({
    default: 67_108_864,
    minimum: 1024,
    maximum: 1_073_741_824,
    unit: "bytes",
    description:
      "Largest body of a request that may bring files, all of them together (64 MiB). A form's " +
      "files go to the disk as they come; base64 in JSON stands in memory, some three times.",
  }),
  docs: t.Boolean({ default: true, description: "Serve the API's documentation at /swagger." }),
});

const auth = section("API keys.", {
  bootstrap_window_ms: timer(
    600_000,
    "For how long after the start the first key can be created without a key, from this machine " +
      "only. 0 turns that off.",
    0,
  ),
  failures_per_minute: count(
    10,
    "Wrong keys from one address before it has to wait; 0 means unlimited.",
    0,
    "per minute",
  ),
  max_key_lifetime_ms: span(0, "Longest life of a new key; 0 means no maximum.", 0),
  limits: section("Limits of a key that was created without its own; 0 means unlimited.", {
    requests_per_minute: count(6000, "Requests of one key.", 0, "per minute"),
    active_jobs: count(1000, "Jobs of one key that may wait or run at once.", 0, "jobs"),
  }),
});

const storage = section("Where jobs, keys and files are kept.", {
  folder: t.String({
    default: "data",
    minLength: 1,
    description:
      "Data folder; a relative path starts at Switchyard's own folder. SWITCHYARD_DATA wins.",
  }),
  ballast_mib: t.Integer({
    default: 16,
    minimum: 0,
    maximum: 65_536,
    unit: "MiB",
    description:
      "Space kept in reserve and given back when the disk is full, so that running jobs can " +
      "still be recorded. 0 turns it off.",
  }),
});

const jobs = section("The life of a job.", {
  queue_timeout_ms: span(3_600_000, "Longest wait for a job's start."),
  attempt_timeout_ms: timer(1_800_000, "Longest run of one attempt."),
  stall_timeout_ms: timer(600_000, "Longest silence of a backend while it works on a job."),
  cancel_grace_ms: timer(10_000, "Time a backend gets to stop after a cancel.", 0),
  drain_timeout_ms: timer(30_000, "Time that running jobs get to end when the gateway stops.", 0),
  retention_ms: span(604_800_000, "How long ended jobs can be read (7 days)."),
  max_pending: count(10_000, "Waiting jobs of everyone; more get 503.", 1, "jobs"),
});

const artifacts = section("The files that jobs produce.", {
  retention_ms: span(604_800_000, "How long files can be downloaded (7 days)."),
  max_bytes: count(2_147_483_648, "Largest single file (2 GiB).", 1, "bytes"),
  ffmpeg: t.String({
    default: "auto",
    minLength: 1,
    description:
      "The ffmpeg that makes sounds into the format that a request asks for: auto looks on PATH, " +
      "off does without, else a path (a relative one starts at this file's folder).",
  }),
});

const health = section("The regular question to every backend whether it works.", {
  interval_ms: timer(10_000, "Pause between two checks of a backend.", 100),
  timeout_ms: timer(5_000, "How long a backend may take to answer a check.", 10),
});

const log = section("What is written to standard output, one JSON object a line.", {
  level: t.Union([t.Literal("debug"), t.Literal("info"), t.Literal("warn"), t.Literal("error")], {
    default: "info",
    description: "Least important level that is written.",
  }),
  prompts: t.Boolean({
    default: false,
    description: "Also write what people asked for (prompts, texts to speak). Private by default.",
  }),
});

const own = (what: string) =>
  t.Optional(
    t.Integer({
      minimum: 1,
      maximum: MAX_TIMER_MS,
      unit: "ms",
      description: `For this backend, instead of jobs.${what}.`,
    }),
  );

/** The settings that every backend has; its plugin's own stand beside them in the file. */
export const BackendSchema = t.Object(
  {
    use: t.String({
      minLength: 1,
      description:
        "Plugin: a built-in name, a path (./x.ts, relative to this file), or an npm package.",
    }),
    enabled: t.Boolean({
      default: true,
      description: "false keeps the settings but not the backend.",
    }),
    url: t.Optional(
      t.String({
        minLength: 1,
        description: "Base URL of the server; the plugin's default when absent.",
      }),
    ),
    device: t.Optional(
      t.String({
        description: "The device it computes on; the first one of `devices` when absent.",
      }),
    ),
    concurrency: t.Optional(
      t.Integer({
        minimum: 1,
        maximum: 1024,
        unit: "jobs",
        description: "Jobs sent to it at once; the plugin's own number when absent.",
      }),
    ),
    when_down: t.Union([t.Literal("refuse"), t.Literal("queue")], {
      default: "refuse",
      description: "While it does not answer: refuse requests with 503, or queue them.",
    }),
    queue_timeout_ms: own("queue_timeout_ms"),
    attempt_timeout_ms: own("attempt_timeout_ms"),
    stall_timeout_ms: own("stall_timeout_ms"),
    process: t.Optional(ownProcess),
    vram: t.Record(t.String({ pattern: MODEL_NAME.pattern }), costOverride, {
      names: MODEL_NAME.words,
      default: {},
      description: "Costs by model, where the estimates are wrong; `*` is for every other model.",
    }),
    headers: t.Record(t.String(), t.String({ secret: true }), {
      default: {},
      description:
        "Headers sent with every request to it, for a server behind a proxy that wants a " +
        `credential. Write credentials as \${NAME}, never in the file.`,
    }),
  },
  { additionalProperties: true, description: "One server that does work." },
);

/** The whole file. */
export const GatewaySchema = t.Object(
  {
    http,
    auth,
    storage,
    jobs,
    artifacts,
    health,
    log,
    vram,
    devices: t.Record(t.String({ pattern: DEVICE_NAME.pattern }), device, {
      names: DEVICE_NAME.words,
      default: { gpu0: { headroom_mib: 512, heavy: 1, probe: "auto" } },
      minProperties: 1,
      description: "What backends compute on; the first one is the default.",
    }),
    backends: t.Record(t.String({ pattern: NAME.pattern }), BackendSchema, {
      names: NAME.words,
      default: {},
      description: "The servers that do the work, by the name that clients and logs use.",
    }),
  },
  { additionalProperties: false, title: "Switchyard gateway.yaml" },
);

type File = Static<typeof GatewaySchema>;

/** One backend with the kernel's settings complete: device and timeouts filled from the file. */
export interface BackendConfig extends Static<typeof BackendSchema> {
  readonly device: string;
  readonly queue_timeout_ms: number;
  readonly attempt_timeout_ms: number;
  readonly stall_timeout_ms: number;
}

/** The file, checked, with every default filled in. `storage.folder` is absolute. */
export interface GatewayConfig extends Omit<File, "backends"> {
  readonly backends: Readonly<Record<string, BackendConfig>>;
}
