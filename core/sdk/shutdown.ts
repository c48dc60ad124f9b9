/** Tells a gateway that stops, whose work its successor takes up, from a job that shall end. */
import { Type as t } from "@sinclair/typebox";
import { matches } from "./shape.ts";

const Shutdown = t.Object({ code: t.Literal("SHUTTING_DOWN") });

/** True when a job's signal was aborted because the gateway stops: leave the server alone then. */
export function isShutdown({ aborted, reason }: AbortSignal): boolean {
  return aborted && matches(Shutdown, reason);
}
