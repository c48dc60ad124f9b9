/** The settings about GPU memory: devices, the policy, backends' own processes and costs. */
import { Type as t } from "@sinclair/typebox";
import { count, MAX_TIMER_MS, section, span, timer } from "./schema-parts.ts";

const mib = (description: string, minimum = 0) =>
  t.Integer({ minimum, maximum: 16_777_216, unit: "MiB", description });

const duration = (description: string) =>
  t.Integer({ minimum: 0, maximum: 604_800_000, unit: "ms", description });

const argv = (description: string) =>
  t.Array(t.String({ minLength: 1 }), { minItems: 1, maxItems: 64, description });

export const device = section("One GPU, or a declared pool of memory.", {
  memory_mib: t.Optional(mib("Its memory, or the part that may be used; measured when absent.", 1)),
  headroom_mib: t.Integer({
    default: 512,
    minimum: 0,
    maximum: 16_777_216,
    unit: "MiB",
    description: "Memory kept free, for what no estimate foresees.",
  }),
  heavy: t.Integer({
    default: 1,
    minimum: 1,
    maximum: 64,
    unit: "jobs",
    description: "Long-running jobs that compute on it at once; light ones run beside them.",
  }),
  probe: t.Union(
    (["auto", "nvidia-smi", "amd-smi", "rocm-smi", "simulated", "none"] as const).map((kind) =>
      t.Literal(kind),
    ),
    { default: "auto", description: "How its memory is measured; auto takes what is installed." },
  ),
  id: t.Optional(
    t.String({
      minLength: 1,
      pattern: "^[A-Za-z0-9:._-]+$",
      names: "letters, digits and : . _ -",
      description: "UUID, PCI bus id or index of the GPU; without it they are taken in order.",
    }),
  ),
  probe_command: t.Optional(
    argv(
      "A program of your own that prints a JSON object a line: total_mib, used_mib, processes. " +
        "It replaces `probe`.",
    ),
  ),
  probe_via: t.Optional(
    argv("Put before the tool's command, for a GPU of another host: [ssh, -T, studio2]."),
  ),
  simulated_folder: t.Optional(
    t.String({
      minLength: 1,
      description:
        "Folder of a simulated device, for `probe: simulated`; a relative path starts at this " +
        "file's folder.",
    }),
  ),
});

export const vram = section("Who gets the devices' memory, and when.", {
  policy: t.String({
    default: "fair",
    minLength: 1,
    description:
      "fair, fifo (strict order), exclusive (one service at a time), or the path of your own " +
      "(./policy.ts, relative to this file).",
  }),
  heavy_ms: timer(10_000, "Jobs expected to run longer than this are heavy; see devices.*.heavy."),
  overdue_after_ms: span(
    60_000,
    "A job that has waited this long, and overdue_runs runs, is overdue.",
    0,
  ),
  overdue_runs: t.Number({
    default: 2,
    minimum: 0,
    maximum: 1000,
    unit: "runs",
    description: "Its own expected run time, this many times, is added to overdue_after_ms.",
  }),
  overdue_share: t.Number({
    default: 0.25,
    exclusiveMinimum: 0,
    maximum: 1,
    description: "Part of a device's time that may be reserved for overdue jobs.",
  }),
  fairness_ms: span(120_000, "Device time that one key may use ahead of another one that waits."),
  probe_interval_ms: timer(1_000, "Pause between two measurements of a device.", 100),
});

export const ownProcess = t.Object(
  {
    command: t.Optional(argv("The server's program and its arguments; no shell reads them.")),
    cwd: t.Optional(
      t.String({
        minLength: 1,
        description:
          "Folder in which the command runs; a relative path starts at this file's folder.",
      }),
    ),
    env: t.Record(t.String({ pattern: "^[A-Za-z_][A-Za-z0-9_]*$" }), t.String({ secret: true }), {
      names: "letters, digits and _, without a digit first",
      default: {},
      description:
        "Environment of the command, beside PATH, HOME and the like. Write credentials as " +
        `\${NAME}, never in the file.`,
    }),
    systemd: t.Optional(
      t.String({
        // As core/processes has it: never an option, `\` for names such as media\x2dserver.service.
        pattern: "^[A-Za-z0-9:_.@\\\\][A-Za-z0-9:_.@\\\\-]{0,240}$",
        names: "letters, digits and : _ . @ \\ -",
        description: "A systemd unit to start and stop instead of a command.",
      }),
    ),
    systemd_user: t.Boolean({
      default: false,
      description: "The unit is one of `systemctl --user`.",
    }),
    docker: t.Optional(
      t.String({
        pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
        names: "letters, digits and _ . -",
        description: "A Docker container to start and stop instead of a command.",
      }),
    ),
    start: t.Union([t.Literal("on_demand"), t.Literal("always")], {
      default: "on_demand",
      description: "Start it with the first job that needs it, or with the gateway.",
    }),
    ready_timeout_ms: timer(300_000, "Longest time until its health check succeeds."),
    stop_timeout_ms: timer(15_000, "Time it gets to end before it is killed.", 0),
    idle_stop_ms: t.Optional(
      t.Integer({
        minimum: 1,
        maximum: MAX_TIMER_MS,
        unit: "ms",
        description: "Stop it after this time without a job; never when absent.",
      }),
    ),
    stop_with_gateway: t.Boolean({ default: true, description: "Stop it when the gateway stops." }),
    max_restarts: count(5, "Unexpected ends within restart_window_ms before it is given up.", 0),
    restart_window_ms: timer(600_000, "See max_restarts."),
  },
  {
    additionalProperties: false,
    description: "How the gateway starts and stops the server: command, systemd or docker.",
  },
);

export const costOverride = section(
  "What the operator knows of a model's cost; it wins over the rest.",
  {
    resident_mib: t.Optional(mib("Memory of its weights while it is loaded.")),
    working_mib: t.Optional(mib("Memory of one job on top.")),
    load_ms: t.Optional(duration("Expected duration of a load.")),
    run_ms: t.Optional(duration("Expected duration of a job.")),
  },
);
