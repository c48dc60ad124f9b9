/** Time as an argument, so that tests and recovery decide what "now" is. */

export interface Clock {
  /** Wall clock, milliseconds since 1970: for people and for times that outlive the process. */
  nowMs(): number;
  /** Monotonic milliseconds: for every deadline inside the process (a wall clock may jump). */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
