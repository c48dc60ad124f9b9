/** Where the cost book keeps its rows: a port, so that the simulator and tests need no disk. */

export interface CostId {
  readonly backend: string;
  readonly model: string;
  /** -1 for what is known of the model over all buckets. */
  readonly bucket: number;
}

export interface StoredCost extends CostId {
  /** JSON; the book checks it when it reads it back. */
  readonly evidence: string;
  /** Wall clock. */
  readonly updatedAt: number;
}

export interface CostStore {
  load(): readonly StoredCost[];
  /** All or nothing. Survives the process when it settles, not a power loss. */
  write(put: readonly StoredCost[], remove: readonly CostId[]): Promise<void>;
}

/** Keeps nothing beyond the process: for the simulator. */
export const forgetfulCostStore: CostStore = { load: () => [], write: async () => {} };
