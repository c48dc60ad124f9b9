/** Starting and stopping backends' own processes. */
import { Type as t } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";
import { type Route, route } from "../http/route.ts";
import type { BackendPort, ProcessPort } from "./ports.ts";
import { supervisionSchema } from "./schema.ts";
import type { Vram } from "./vram.ts";

const STOP_LIMIT_MS = 120_000;
const START_LIMIT_MS = 30 * 60_000;

export function supervisionRoutes(vram: Vram, portOf: (name: string) => BackendPort): Route[] {
  function processOf(name: string): ProcessPort {
    const { process, title } = portOf(name);
    if (process) return process;
    const message = `${title} is not run by the gateway: give it \`process\` in gateway.yaml`;
    throw new GatewayError("NOT_SUPERVISED", message);
  }

  const verbs = {
    start: {
      summary: "Start a backend's process; answers when it is ready for work",
      description:
        "Clears a `failed` state, too. A start that fails has the end of the server's log in " +
        "error.details.process.last_lines.",
      run: (process: ProcessPort) => process.start(AbortSignal.timeout(START_LIMIT_MS), "operator"),
      needsIdle: false,
    },
    stop: {
      summary: "Stop a backend's process; answers when nothing of it is left",
      description: "It is not locked: the next job that needs it starts it again.",
      run: (process: ProcessPort) => process.stop(AbortSignal.timeout(STOP_LIMIT_MS)),
      needsIdle: true,
    },
    restart: {
      summary: "Stop and start a backend's process",
      description: "Answers when it is ready for work again.",
      run: (process: ProcessPort) => process.restart(AbortSignal.timeout(START_LIMIT_MS)),
      needsIdle: true,
    },
  } as const;

  return Object.entries(verbs).map(([verb, { summary, description, run, needsIdle }]) =>
    route({
      method: "POST",
      path: `/backends/:name/${verb}`,
      policy: { access: "gpu:admin" },
      params: t.Object({ name: t.String() }),
      query: t.Object({
        force: t.Optional(
          t.Boolean({
            description:
              "Also while it computes: its jobs lose their work and may be tried again, which " +
              "starts it again.",
          }),
        ),
      }),
      docs: { tag: "gpu", summary, description, data: supervisionSchema },
      async handle({ params: { name }, query, connection }) {
        const process = processOf(name);
        const running = vram.roster.servers.get(name)?.running ?? 0;
        if (needsIdle && running > 0 && !query.force) {
          const jobs = running === 1 ? "a job" : `${running} jobs`;
          const message = `${name} runs ${jobs}; wait for the end, or send ?force=true`;
          throw new GatewayError("MODEL_IN_USE", message);
        }
        connection.keepOpen();
        try {
          await run(process);
        } catch (error) {
          throw withState(error, process);
        }
        vram.backendChanged();
        return { backend: name, process: process.describe() };
      },
    }),
  );
}

/** Operators see the end of the server's own log. */
function withState(error: unknown, process: ProcessPort): unknown {
  if (!(error instanceof GatewayError)) return error;
  const { code, message, details } = error;
  const state = { ...details, process: process.describe() };
  return new GatewayError(code, message, { details: state, cause: error });
}
