/** What operators ask the GPUs and tell them: memory, resident models, costs. */
import { Type as t } from "@sinclair/typebox";
import { GatewayError } from "../errors.ts";
import { type Route, route } from "../http/route.ts";
import { leaseRoutes } from "./lease-routes.ts";
import type { BackendPort } from "./ports.ts";
import { reclaimToWire, residentToWire, vramToWire } from "./report.ts";
import * as shape from "./schema.ts";
import { supervisionRoutes } from "./supervision-routes.ts";
import type { Vram } from "./vram.ts";

export interface VramRoutesOptions {
  readonly vram: Vram;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  /** Whether the job has ended for its client. */
  readonly isOrphan: (jobId: string) => boolean;
  /** Whether the key may see and end everybody's leases. */
  readonly isAdmin: (scopes: ReadonlySet<string>) => boolean;
}

export function vramRoutes(options: VramRoutesOptions): Route[] {
  const { vram } = options;
  const iso = (monotonicMs: number) =>
    new Date(options.nowMs() - options.monotonicMs() + monotonicMs).toISOString();

  function portOf(name: string): BackendPort {
    const port = vram.roster.port(name);
    if (!port) throw new GatewayError("NOT_FOUND", `No backend "${name}"; see GET /backends`);
    return port;
  }

  return [
    route({
      method: "GET",
      path: "/vram",
      policy: { access: "gpu:read" },
      docs: {
        tag: "gpu",
        summary: "Devices, processes, resident models, leases, and who waits for what",
        data: shape.vramSchema,
      },
      handle: ({ principal }) =>
        vramToWire(vram, {
          iso,
          isOrphan: options.isOrphan,
          isOperator: principal !== undefined && options.isAdmin(principal.scopes),
        }),
    }),
    route({
      method: "GET",
      path: "/vram/costs",
      policy: { access: "gpu:read" },
      docs: {
        tag: "gpu",
        summary: "What models cost in memory and time, as measured",
        data: shape.costsSchema,
      },
      handle: () => ({ costs: vram.costs.list().map(shape.costToWire) }),
    }),
    route({
      method: "POST",
      path: "/vram/free",
      policy: { access: "gpu:admin" },
      body: shape.freeSchema,
      docs: {
        tag: "gpu",
        summary: "Unload idle models: of a device, a backend, one model, or until enough is free",
        description:
          "Settles when the memory is measured to be back, or every way has been tried. Models " +
          "that compute are kept and listed with the reason. Nothing is locked: the next job loads " +
          "its model again; POST /leases keeps the memory.",
        exampleBody: { device: "gpu0", mib: 12_000 },
        data: shape.freedSchema,
      },
      async handle({ body, connection }) {
        if (Object.keys(body).length === 0) {
          const message =
            'Say what shall leave: a device, a backend, a model or mib; {"all":true} is everything';
          throw new GatewayError("VALIDATION_FAILED", message, {
            details: { errors: [{ field: "", message }] },
          });
        }
        if (body.backend !== undefined) portOf(body.backend);
        if (body.device !== undefined && !vram.devices.has(body.device)) {
          const names = [...vram.devices.keys()].join(", ");
          throw new GatewayError("NOT_FOUND", `No device "${body.device}"; there are: ${names}`);
        }
        // A reclaim may climb to the end of a process.
        connection.keepOpen();
        return freedToWire(await vram.free(body));
      },
    }),
    route({
      method: "GET",
      path: "/backends/:name/residents",
      policy: { access: "gpu:read" },
      params: t.Object({ name: t.String() }),
      docs: {
        tag: "gpu",
        summary: "The models that a backend holds in memory",
        data: shape.residentsSchema,
      },
      async handle({ params }) {
        const port = portOf(params.name);
        await vram.inspector.refresh();
        const measured = vram.inspector.truth(port.device)?.measured.get(port.name);
        const places = vram.roster.servers.get(port.name)?.places ?? [];
        const held = places.filter(({ state }) => state !== "absent");
        return { residents: held.map((place) => residentToWire(place, measured, iso)) };
      },
    }),
    route({
      method: "DELETE",
      path: "/backends/:name/residents/:model",
      policy: { access: "gpu:admin" },
      params: t.Object({ name: t.String(), model: t.String() }),
      docs: {
        tag: "gpu",
        summary: "Unload one model; a slash in its name is written %2F",
        description:
          "Answers when its memory is measured to be back: 502 RECLAIM_FAILED when it is not, 409 " +
          "MODEL_IN_USE while jobs compute with it.",
        data: shape.reclaimSchema,
      },
      async handle({ params, connection }) {
        const { name, model } = params;
        const port = portOf(name);
        connection.keepOpen();
        await vram.inspector.refresh();
        const { results, kept } = await vram.free({ backend: name, model });
        const [refused] = kept;
        if (refused) throw new GatewayError("MODEL_IN_USE", `${model} stays: ${refused.reason}`);
        const [result] = results;
        if (!result) throw new GatewayError("NOT_FOUND", `${port.title} does not hold "${model}"`);
        if (!result.freed) {
          const message = `${port.title} was told to unload ${model}, but its memory did not come back`;
          throw new GatewayError("RECLAIM_FAILED", message, { details: reclaimToWire(result) });
        }
        return reclaimToWire(result);
      },
    }),
    ...supervisionRoutes(vram, portOf),
    ...leaseRoutes(vram.leases, options.isAdmin),
  ];
}

function freedToWire({ results, kept }: Awaited<ReturnType<Vram["free"]>>) {
  return {
    freed: results.map(reclaimToWire),
    kept: kept.map(({ place, reason }) => ({
      backend: place.server.name,
      model: place.model,
      device: place.device.name,
      reason,
    })),
  };
}
