/** The job state machine. Pure: no clock, no store, no log. */

export const STATUSES = ["pending", "running", "completed", "failed", "cancelled"] as const;
export type Status = (typeof STATUSES)[number];

export const PHASES = ["queued", "loading", "generating", "collecting"] as const;
export type Phase = (typeof PHASES)[number];

const MOVES: Readonly<Record<Status, readonly Status[]>> = {
  pending: ["running", "failed", "cancelled"],
  running: ["pending", "completed", "failed", "cancelled"],
  completed: [],
  failed: [],
  cancelled: [],
};

export function mayMove(from: Status, to: Status): boolean {
  return MOVES[from].includes(to);
}

export function isTerminal(status: Status): boolean {
  return MOVES[status].length === 0;
}
