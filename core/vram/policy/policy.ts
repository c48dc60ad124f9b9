/**
 * What a policy sees and says. A policy is a pure function from the ledger to the next step; the
 * scheduler checks each step, takes it, and asks again until there is none. So a policy cannot
 * over-commit memory, and can be asked "what if".
 */
import type { Device, Group, Place, Reservation, Share, Waiting } from "../ledger.ts";

/** The ledger at one moment. Read only. */
export interface View {
  /** Monotonic milliseconds. */
  readonly nowMs: number;
  readonly devices: readonly Device[];
  /** Groups with waiting jobs. */
  readonly groups: readonly Group[];
  /** Keys with waiting jobs. */
  readonly shares: readonly Share[];
  readonly settings: PolicySettings;
}

export interface PolicySettings {
  /** Part of a device's time that reservations of overdue jobs may take, 0 to 1. */
  readonly overdueShare: number;
  /** Milliseconds of device time that one key may be ahead of another that waits. */
  readonly fairnessMs: number;
}

export type Step =
  /** The job computes in this place, which is resident. */
  | { readonly kind: "start"; readonly job: Waiting; readonly place: Place }
  /** Reserve the place's memory, make the victims leave, then load. `job` is whom it is for. */
  | {
      readonly kind: "load";
      readonly job: Waiting;
      readonly place: Place;
      readonly victims: readonly Place[];
    }
  /** These leave, so that a running job's memory has room beside a model that is there. */
  | { readonly kind: "evict"; readonly victims: readonly Place[] }
  /** The job goes next on this device: its victims take no new jobs. */
  | ({ readonly kind: "reserve" } & Reservation)
  /** The reservation of this device is given up. */
  | { readonly kind: "unreserve"; readonly device: Device };

export interface Policy {
  readonly name: string;
  /**
   * How jobs of one group, key and priority queue up: by urgency (the default), so that an overdue
   * one or one with a `start_by` is found at the head, or strictly by arrival.
   */
  readonly order?: "urgency" | "arrival";
  /** The next step, or undefined when nothing more can or should be done now. */
  next(view: View): Step | undefined;
}
