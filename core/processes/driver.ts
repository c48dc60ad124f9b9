/** How a process is started, watched and ended; the lifecycle above knows nothing of the way. */
import type { Exit } from "./state.ts";

export type Sight =
  | { readonly kind: "running"; readonly pid?: number }
  | { readonly kind: "gone"; readonly exit: Exit };

export interface Driver {
  /** Whether it runs now: asked of the system, not remembered. */
  look(): Promise<Sight>;
  /** Starts it, when nothing of it is left; rejects with ProcessError or the signal's reason. */
  launch(signal: AbortSignal): Promise<void>;
  /** Ends all of it and settles when nothing is left; rejects with ProcessError. */
  end(): Promise<void>;
  /** What runs of it already; ends what an earlier gateway left and is configured no longer. */
  adopt(): Promise<{ readonly ready: boolean } | undefined>;
  pids(): Promise<readonly number[]>;
  lastLines(count: number): Promise<readonly string[]>;
  /** Notes for the next gateway that it was ready. */
  markReady(): void;
  /** Whether this or an earlier gateway started it, rather than somebody else. */
  owned(): boolean;
  /** Bounds its log. */
  tend(): Promise<void>;
  /** The listener hears of an end that the driver sees by itself; others are found by `look`. */
  onExit(listener: (exit: Exit) => void): void;
  /** Whether the pids are those that listen on the backend's port. */
  readonly holdsPort: boolean;
}
