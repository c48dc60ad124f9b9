/** How far a job of WanGP's is, as its events tell. */
import { type Job, matches, type Static, t } from "switchyard/sdk";
import type { Snapshot } from "./handle.ts";

const Progress = t.Object({
  phase: t.String(),
  progress: t.Optional(t.Union([t.Number(), t.Null()])),
  current_step: t.Optional(t.Union([t.Number(), t.Null()])),
  total_steps: t.Optional(t.Union([t.Number(), t.Null()])),
});
type Progress = Static<typeof Progress>;
/** The newest event that says so. */
export function progressOf({ events }: Snapshot): Progress | undefined {
  const data = events.findLast(({ kind }) => kind === "progress")?.data;
  return matches(Progress, data) ? data : undefined;
}

export function tell(job: Job, now: Progress | undefined): void {
  const { phase = "starting", progress, current_step, total_steps } = now ?? {};
  const steps = total_steps ? `, step ${current_step ?? 0} of ${total_steps}` : "";
  const fraction =
    typeof progress === "number" ? Math.min(Math.max(progress / 100, 0), 1) : undefined;
  job.progress(fraction, `${phase.replaceAll("_", " ")}${steps}`);
}
