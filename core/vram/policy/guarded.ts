/**
 * An operator's own policy, held to the rules: what it gets wrong is said once in a while, and that
 * step is taken as `fair` would. One mistake must not stop everybody's work.
 */
import type { Policy, Step, View } from "./policy.ts";

export interface GuardOptions {
  readonly own: Policy;
  readonly instead: Policy;
  /** Why a step may not be taken; undefined when it may. */
  readonly refusalOf: (step: Step, nowMs: number) => string | undefined;
  readonly complain: (reason: string) => void;
}

const COMPLAIN_EVERY_MS = 10_000;
const MAX_IDLE_STEPS = 1_000;

export function guarded({ own, instead, refusalOf, complain }: GuardOptions): Policy {
  let complainedAtMs = -Infinity;
  /** Steps in a row that changed nothing but reservations. */
  let idleSteps = 0;

  function faultOf(view: View): { readonly step?: Step; readonly reason?: string } {
    try {
      const step = own.next(view);
      const isIdle = step?.kind === "reserve" || step?.kind === "unreserve";
      idleSteps = isIdle ? idleSteps + 1 : 0;
      if (idleSteps > MAX_IDLE_STEPS) return { reason: "it reserves and gives up in circles" };
      const reason = step && refusalOf(step, view.nowMs);
      return reason === undefined ? { step } : { reason };
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  }

  return {
    ...own,
    next(view) {
      const { step, reason } = faultOf(view);
      if (reason === undefined) return step;
      if (view.nowMs - complainedAtMs >= COMPLAIN_EVERY_MS) {
        complainedAtMs = view.nowMs;
        complain(reason);
      }
      const other = instead.next(view);
      // It gets another chance with the next event.
      if (other === undefined) idleSteps = 0;
      return other;
    },
  };
}
