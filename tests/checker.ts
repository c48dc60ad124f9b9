/**
 * Compares what clients were promised (the history) with what the store holds at the end. All lists
 * but `recovered` must be empty.
 */
import { Database } from "bun:sqlite";
import type { Entry } from "./history.ts";

export interface Report {
  /** Accepted, and then gone or never ended. */
  readonly lost: readonly string[];
  /** More or less than one terminal event, or one that contradicts the row. */
  readonly duplicatedTerminal: readonly string[];
  /** In the store, though nobody asked for it. */
  readonly unexpected: readonly string[];
  /** Nobody knew whether it was accepted; it was. */
  readonly recovered: readonly string[];
  /** The result of an attempt that was no longer the current one. */
  readonly staleAccepted: readonly string[];
  /** Events whose numbers have a gap, or times that go back. */
  readonly eventGap: readonly string[];
  /** Somebody without a right to it got an answer. */
  readonly authLeak: readonly string[];
}

interface StoredJob {
  readonly id: string;
  readonly status: string;
  readonly tag: string | null;
  readonly epoch: number;
  readonly seq: number;
  readonly output: string | null;
}

interface StoredEvent {
  readonly seq: number;
  readonly type: string;
  readonly created_at: number;
}

/** The first event of every job, which its row implies. */
const CREATED: StoredEvent = { seq: 1, type: "job.created", created_at: 0 };
const TERMINAL = ["completed", "failed", "cancelled"];

export function check(history: readonly Entry[], databasePath: string): Report {
  const database = new Database(databasePath, { readonly: true });
  try {
    const jobs = database.query("SELECT * FROM jobs").all() as StoredJob[];
    const select = database.query("SELECT * FROM job_events WHERE job_id = ? ORDER BY seq");
    const byId = new Map(jobs.map((job) => [job.id, job]));
    const events = new Map(
      jobs.map(({ id }) => [id, [CREATED, ...(select.all(id) as StoredEvent[])]]),
    );
    const submits = history.filter(({ operation }) => operation === "submit");
    const tagsOf = (kind: Entry["kind"]) =>
      new Set(submits.filter((entry) => entry.kind === kind).map(({ id }) => id));
    const refused = tagsOf("fail");
    const unknown = tagsOf("info");
    const asked = new Set([...tagsOf("invoke")].filter((tag) => !refused.has(tag)));
    const ids = (wrong: (job: StoredJob, events: readonly StoredEvent[]) => boolean) =>
      jobs.filter((job) => wrong(job, events.get(job.id) ?? [])).map(({ id }) => id);

    return {
      lost: submits
        .filter(({ kind, job }) => {
          return kind === "ok" && !TERMINAL.includes(byId.get(job ?? "")?.status ?? "");
        })
        .map(({ job = "" }) => job),
      duplicatedTerminal: ids(({ status }, all) => {
        const ends = all.filter(({ type }) => TERMINAL.includes(type.slice("job.".length)));
        const wanted = TERMINAL.includes(status) ? [`job.${status}`] : [];
        return JSON.stringify(ends.map(({ type }) => type)) !== JSON.stringify(wanted);
      }),
      unexpected: ids(({ tag }) => !asked.has(tag ?? "")),
      recovered: ids(({ tag }) => unknown.has(tag ?? "")),
      staleAccepted: ids(({ status, output, epoch }) => {
        const attempt = JSON.parse(output ?? "{}")?.attempt;
        return status === "completed" && attempt !== undefined && attempt !== epoch;
      }),
      eventGap: ids(({ seq }, all) => {
        const gap = all.length !== seq || all.some((event, index) => event.seq !== index + 1);
        const back = all.some(
          (event, index) => event.created_at < (all[index - 1]?.created_at ?? 0),
        );
        return gap || back;
      }),
      authLeak: history
        .filter(({ operation, kind }) => operation === "steal" && kind === "ok")
        .map(({ id }) => id),
    };
  } finally {
    database.close();
  }
}

/** `PRAGMA integrity_check`; "ok" when nothing is wrong. */
export function integrityOf(databasePath: string): string {
  const database = new Database(databasePath);
  try {
    const found = database.query("PRAGMA integrity_check").get() as { integrity_check: string };
    return found.integrity_check;
  } finally {
    database.close();
  }
}
