/**
 * What servers said a while ago, asked again when it is old: one question at a time per subject,
 * and a server that does not answer is not asked anew, and waited for, by every request.
 */
import type { Backend } from "./backend.ts";
import { usable } from "./health.ts";
import { inTime } from "./in-time.ts";

export interface Answers<Subject, Answer> {
  /** The answer, from memory while it is fresh; undefined when the server gives none now. */
  get(subject: Subject): Promise<Answer | undefined>;
  /** The last answer, however old; asks nobody. */
  peek(subject: Subject): Answer | undefined;
}

export interface AnswersOptions<Subject, Answer> {
  readonly backendOf: (subject: Subject) => Backend;
  readonly ask: (subject: Subject, signal: AbortSignal) => Answer | Promise<Answer>;
  readonly freshMs: number;
  /** After a failure nobody is asked again for this long. */
  readonly pauseMs: number;
  readonly monotonicMs: () => number;
}

interface Known<Answer> {
  last?: { readonly answer: Answer; readonly atMs: number };
  failedAtMs?: number;
  asking?: Promise<Answer | undefined>;
}

export function createAnswers<Subject extends object, Answer>(
  options: AnswersOptions<Subject, Answer>,
): Answers<Subject, Answer> {
  const { backendOf, freshMs, pauseMs, monotonicMs } = options;
  const subjects = new WeakMap<Subject, Known<Answer>>();

  async function ask(subject: Subject, known: Known<Answer>): Promise<Answer | undefined> {
    const backend = backendOf(subject);
    try {
      const answer = await inTime(backend.title, backend.settings.healthTimeoutMs, (signal) =>
        backend.run(() => options.ask(subject, signal)),
      );
      known.last = { answer, atMs: monotonicMs() };
      known.failedAtMs = undefined;
      return answer;
    } catch {
      // Why the server does not answer is what its health check is for.
      known.failedAtMs = monotonicMs();
      return undefined;
    }
  }

  return {
    async get(subject) {
      const known: Known<Answer> = subjects.get(subject) ?? {};
      subjects.set(subject, known);
      const nowMs = monotonicMs();
      const { last, failedAtMs } = known;
      if (last && nowMs - last.atMs < freshMs) return last.answer;
      // What sleeps or is gone does not change: its last answer is the best there is.
      if (!usable(backendOf(subject).state.status)) return last?.answer;
      if (failedAtMs !== undefined && nowMs - failedAtMs < pauseMs) return undefined;
      known.asking ??= ask(subject, known).finally(() => {
        known.asking = undefined;
      });
      return known.asking;
    },
    peek: (subject) => subjects.get(subject)?.last?.answer,
  };
}
