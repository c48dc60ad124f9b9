/**
 * The queue of a fake Gradio server, with what is ugly about the real one (seen with 4.44.1, 5.49.1
 * and 6.31.0): one call of a function at a time; messages kept only until somebody reads them;
 * `/cancel` gives the turn of a running function away while its worker goes on; a stream that its
 * client leaves loses the result and keeps the turn.
 */

export interface Call {
  readonly id: string;
  readonly session: string;
  readonly fn: number;
  readonly data: readonly unknown[];
  /** Somebody listens to it. */
  isAlive: boolean;
  /** A generator looks at it between two of its values. */
  isCancelled: boolean;
  state: "queued" | "running" | "over";
  /** Its turn was given to the next one while it runs. */
  hasLostTurn: boolean;
}

export type Said = Record<string, unknown>;

/** Computes a call; what it says in between goes to the stream. */
export type Worker = (call: Call, say: (message: Said) => void) => Promise<Said>;

interface Session {
  readonly messages: Said[];
  readonly pending: Set<string>;
  wake: () => void;
}

export interface Queue {
  join(session: string, fn: number, data: readonly unknown[]): string;
  cancel(session: string, fn: number, id: string): void;
  /** Messages for a stream; `undefined` ends it. Throws when nobody knows the session. */
  next(session: string, gone: AbortSignal): Promise<Said | undefined>;
  /** A stream told the end of a call; true when nothing more is to come for the session. */
  settle(session: string, id: string): boolean;
  /** Its client left the stream. */
  leave(session: string): void;
  knows(session: string): boolean;
  /** Waiting calls. */
  readonly waiting: number;
  /** Computing now, and the most that ever did at once. */
  readonly running: number;
  readonly mostAtOnce: number;
  /** What was taken out before it began. */
  readonly removed: number;
}

export function createQueue(
  major: number,
  isGenerator: (fn: number) => boolean,
  work: Worker,
): Queue {
  const calls: Call[] = [];
  const sessions = new Map<string, Session>();
  let count = 0;
  let running = 0;
  let mostAtOnce = 0;
  let removed = 0;

  function send(call: Call, message: Said): void {
    if (call.isAlive) push(call.session, { ...message, event_id: call.id });
  }

  function push(name: string, message: Said): void {
    const session = sessions.get(name);
    session?.messages.push(message);
    session?.wake();
  }

  function schedule(): void {
    const queued = calls.filter(({ state }) => state === "queued");
    for (const call of queued) {
      const isTaken = calls.some(
        (other) => other.fn === call.fn && other.state === "running" && !other.hasLostTurn,
      );
      if (isTaken) {
        const same = queued.filter(({ fn, state }) => fn === call.fn && state === "queued");
        const rank = same.indexOf(call);
        send(call, { msg: "estimation", rank, queue_size: same.length, rank_eta: null });
      } else {
        void start(call);
      }
    }
  }

  async function start(call: Call): Promise<void> {
    call.state = "running";
    running += 1;
    mostAtOnce = Math.max(mostAtOnce, running);
    send(call, { msg: "process_starts", eta: null });
    const end = await work(call, (message) => send(call, message));
    running -= 1;
    call.state = "over";
    if (!call.hasLostTurn) send(call, { msg: "process_completed", ...end });
    schedule();
  }

  return {
    join(session, fn, data) {
      const id = `${(++count).toString(16).padStart(4, "0")}${"0".repeat(28)}`;
      const known = sessions.get(session);
      const mine: Session = known ?? { messages: [], pending: new Set(), wake: () => {} };
      sessions.set(session, mine);
      mine.pending.add(id);
      const state = { isAlive: true, isCancelled: false, hasLostTurn: false };
      const call: Call = { id, session, fn, data, state: "queued", ...state };
      calls.push(call);
      send(call, { msg: "estimation", rank: 0, queue_size: 1, rank_eta: null });
      queueMicrotask(schedule);
      return id;
    },
    cancel(session, fn, id) {
      const call = calls.find((one) => one.id === id && one.session === session && one.fn === fn);
      if (call === undefined || call.state === "over") return;
      send(call, { msg: "process_completed", success: true, output: {} });
      if (call.state === "queued") {
        // Gradio 4 and 5 leave it in the queue, and it runs for nobody.
        if (major >= 6) call.state = "over";
        return;
      }
      call.isCancelled = isGenerator(fn);
      call.hasLostTurn = true;
      schedule();
    },
    async next(name, gone) {
      const session = sessions.get(name);
      if (session === undefined) throw new Error("Session not found.");
      while (session.messages.length === 0) {
        if (gone.aborted) return undefined;
        await new Promise<void>((resolve) => {
          session.wake = resolve;
          gone.addEventListener("abort", () => resolve(), { once: true });
        });
      }
      return session.messages.shift();
    },
    settle(name, id) {
      const pending = sessions.get(name)?.pending;
      pending?.delete(id);
      return pending === undefined || pending.size === 0;
    },
    leave(name) {
      for (const call of calls.filter(({ session }) => session === name)) {
        if (call.state === "queued") {
          call.state = "over";
          removed += 1;
        }
        call.isAlive = false;
        call.isCancelled ||= isGenerator(call.fn);
      }
      sessions.delete(name);
    },
    knows: (session) => sessions.has(session),
    get waiting() {
      return calls.filter(({ state }) => state === "queued").length;
    },
    get running() {
      return running;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    get removed() {
      return removed;
    },
  };
}
