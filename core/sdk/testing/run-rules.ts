/** Rules about doing the work: results, cancel, restart, failures. One set for every capability. */
import assert from "node:assert/strict";
import { BackendError } from "../errors.ts";
import type { HttpClient } from "../http.ts";
import { REAL_SERVER } from "./against.ts";
import {
  type Backend,
  capabilityOf,
  hasNoServer,
  type Input,
  inputOf,
  kindsOf,
  type Rule,
  type Subject,
  type Word,
  withBackend,
} from "./cases.ts";
import { createTestJob, type TestJob, type TestJobOptions } from "./job.ts";
import { until, within } from "./wait.ts";

const RUN_MS = 20_000;
const SETTLE_MS = 5_000;

interface Case extends Subject {
  readonly kind: string;
}

export function runRules(subject: Subject): readonly Rule[] {
  return kindsOf(subject).flatMap((kind) => {
    const run: Case = { ...subject, kind };
    const { restart } = capabilityOf(subject.plugin, kind);
    const resume = restart === "resume" ? needsServer(run) : { skip: "it starts over" };
    return [
      { name: `${kind}: gives a result`, check: () => checkResult(run) },
      {
        name: `${kind}: a cancel while it works reaches the server`,
        ...needs(run, "hang"),
        check: () => checkCancel(run, "work"),
      },
      {
        name: `${kind}: a cancel during the submission reaches the server`,
        ...needs(run, "hang"),
        check: () => checkCancel(run, "submission"),
      },
      { name: `${kind}: a cancelled run settles`, check: () => checkSettles(run) },
      {
        name: `${kind}: does not submit twice after a restart`,
        ...resume,
        check: () => checkResume(run),
      },
      {
        name: `${kind}: does not submit twice after a restart in the middle of the work`,
        ...resume,
        check: () => checkResumeMidway(run),
      },
      {
        name: `${kind}: a failure of the server is a BackendError`,
        ...needs(run, "fail"),
        check: () => checkFailure(run, "fail"),
      },
      {
        name: `${kind}: a lack of GPU memory is OUT_OF_MEMORY`,
        ...needs(run, "oom"),
        check: () => checkFailure(run, "oom", "OUT_OF_MEMORY"),
      },
      {
        name: `${kind}: a success without output is a BackendError`,
        ...needs(run, "null-output"),
        check: () => checkNoOutput(run),
      },
    ];
  });
}

function needsServer(subject: Subject): { readonly skip?: string } {
  return hasNoServer(subject) ? { skip: "it has no server" } : {};
}

function needs(run: Case, word: Word): { readonly skip?: string } {
  const reason = run.cases.against === undefined ? run.cases.without?.[word] : REAL_SERVER;
  return reason === undefined ? needsServer(run) : { skip: reason };
}

function jobOf(run: Case, input: Input, options: TestJobOptions = {}): TestJob<Input> {
  const { files } = run.cases;
  return createTestJob(input, { ...options, ...(files && { files }) });
}

function start(run: Case, job: TestJob<Input>, { ctx }: Backend): Promise<unknown> {
  const running = Promise.resolve().then(() => capabilityOf(run.plugin, run.kind).run(job, ctx));
  // Somebody looks at the outcome later; until then it must not count as unhandled.
  running.catch(() => {});
  return running;
}

/** Runs to the end and checks what every success must have. */
async function succeed(run: Case, job: TestJob<Input>, backend: Backend): Promise<void> {
  const limitMs = run.cases.runMs ?? RUN_MS;
  const result = await within(start(run, job, backend), limitMs, "run must settle");
  assert.equal(job.storing, 0, "run settled before its artifacts were stored: await them");
  const given = result !== undefined && result !== null;
  assert.ok(given || job.artifacts.length > 0, "run gave neither a result nor an artifact");
  assert.ok(!given || JSON.stringify(result) !== undefined, "the result must be JSON");
  for (const { fraction } of job.progressed) {
    const valid = fraction === undefined || (fraction >= 0 && fraction <= 1);
    assert.ok(valid, `progress must be undefined or 0..1, not ${fraction}`);
  }
  for (const { image, mediaType } of job.previews) {
    assert.ok(image.byteLength > 0, "a preview is empty");
    assert.match(mediaType, /^image\//, `a preview is ${mediaType}`);
  }
}

function checkResult(run: Case): Promise<void> {
  return withBackend(run, (backend) => succeed(run, jobOf(run, inputOf(run, run.kind)), backend));
}

/** The call that starts work, found by running the example against a server of its own. */
async function submitCall(run: Case): Promise<string> {
  const named = run.cases.submits?.[run.kind];
  if (named !== undefined) return named;
  let found: string | undefined;
  await withBackend(run, async (backend) => {
    await succeed(run, jobOf(run, inputOf(run, run.kind)), backend);
    const calls = backend.fake?.calls ?? [];
    found = calls.find((call) => call.startsWith("POST ")) ?? calls[0];
  });
  assert.ok(found, "the run called nothing on the fake; does it use ctx.http?");
  return found;
}

async function checkCancel(run: Case, moment: "submission" | "work"): Promise<void> {
  const settleMs = run.cases.settleMs ?? SETTLE_MS;
  const submit = await submitCall(run);
  await withBackend(run, async (backend) => {
    const { fake, ctx } = backend;
    assert.ok(fake, "give `fake` in the cases: this plugin has a server");
    const job = jobOf(run, inputOf(run, run.kind, "hang"));
    const submitted = (): Promise<void> =>
      until(() => fake.calls.includes(submit), RUN_MS, `no ${submit} came`);
    const http = cancelBeforeAnswer(ctx.http, submit, submitted, job);
    const running = start(
      run,
      job,
      moment === "submission" ? { fake, ctx: { ...ctx, http } } : backend,
    );
    const outcome = running.catch(() => {});
    await within(Promise.race([outcome, submitted()]), RUN_MS, "run must submit");
    // One that ended without a submission says why; one that was cancelled has ended rightly.
    if (!fake.calls.includes(submit)) await running;
    if (moment === "work") await signOfWork(job, fake);
    await within(job.cancel(), settleMs, "what onCancel registered must settle");
    await within(outcome, settleMs, "a cancelled run must settle");
    await until(() => fake.stopped, settleMs, "the server was not told to stop");
    assert.deepEqual(job.stopErrors, [], "what onCancel registered failed");
  });
}

/** A client that cancels the job when the server has the work, but `run` not yet its answer. */
function cancelBeforeAnswer(
  http: HttpClient,
  submit: string,
  submitted: () => Promise<void>,
  job: TestJob,
): HttpClient {
  const hold = async <T>(call: string, answer: Promise<T>): Promise<T> => {
    answer.catch(() => {});
    if (call.split("?")[0] === submit) {
      await submitted();
      void job.cancel();
    }
    return answer;
  };
  return {
    ...http,
    get: (path, options) => hold(`GET ${path}`, http.get(path, options)),
    post: (path, body, options) => hold(`POST ${path}`, http.post(path, body, options)),
    fetch: (path, options = {}) => {
      const method = options.method ?? (options.body === undefined ? "GET" : "POST");
      return hold(`${method} ${path}`, http.fetch(path, options));
    },
  };
}

/** Progress, or a further call, or a while without both: some servers say nothing until the end. */
async function signOfWork(job: TestJob<Input>, fake: { calls: readonly string[] }): Promise<void> {
  const before = fake.calls.length;
  const seen = (): boolean =>
    job.progressed.length + job.emitted.length + job.previews.length > 0 ||
    fake.calls.length > before;
  await until(seen, 250, "no sign of work").catch(() => {});
}

/** At once, without a server's help: also for plugins that have none. */
function checkSettles(run: Case): Promise<void> {
  const settleMs = run.cases.settleMs ?? SETTLE_MS;
  return withBackend(run, async (backend) => {
    const job = jobOf(run, inputOf(run, run.kind));
    const outcome = start(run, job, backend).catch(() => {});
    await within(job.cancel(), settleMs, "what onCancel registered must settle");
    await within(outcome, settleMs, "a cancelled run must settle");
  });
}

async function checkResume(run: Case): Promise<void> {
  const submit = await submitCall(run);
  await withBackend(run, async (backend) => {
    const input = inputOf(run, run.kind);
    const first = jobOf(run, input);
    await succeed(run, first, backend);
    const again = jobOf(run, input, { attempt: 2, steps: first.steps });
    await succeed(run, again, backend);
    assertOnce(backend, submit);
    assert.equal(again.artifacts.length, first.artifacts.length, "the restart lost an artifact");
  });
}

/** The first execution goes on, like work of a gateway that died: nothing stops the server. */
async function checkResumeMidway(run: Case): Promise<void> {
  const submit = await submitCall(run);
  await withBackend(run, async (backend) => {
    const input = inputOf(run, run.kind, "slow-start steps=5");
    const first = jobOf(run, input);
    const lost = start(run, first, backend).catch(() => {});
    await until(() => first.steps.size > 0, RUN_MS, "run stored no step before it waited");
    const again = jobOf(run, input, { attempt: 2, steps: first.steps });
    await succeed(run, again, backend);
    await within(lost, run.cases.runMs ?? RUN_MS, "run must settle");
    assertOnce(backend, submit);
  });
}

function assertOnce({ fake }: Backend, submit: string): void {
  const times = fake?.calls.filter((call) => call === submit).length;
  assert.equal(times, 1, `${submit} came ${times} times: keep the handle in job.step`);
}

function checkFailure(run: Case, word: Word, code?: string): Promise<void> {
  return withBackend(run, async (backend) => {
    const error = await failure(run, word, backend);
    if (code !== undefined) assert.equal(error.code, code, error.message);
    assert.ok(error.message.trim() !== "", "the error must say what failed");
    assert.doesNotMatch(error.message, /\n\s+at |Traceback/, "the error must not show a stack");
  });
}

async function failure(run: Case, word: Word, backend: Backend): Promise<BackendError> {
  const job = jobOf(run, inputOf(run, run.kind, word));
  const running = start(run, job, backend).then(
    () => undefined,
    (error: unknown) => error,
  );
  const error = await within(running, run.cases.runMs ?? RUN_MS, "run must settle");
  assert.ok(error !== undefined, `the server answered "${word}", and run reports success`);
  if (!BackendError.is(error)) {
    assert.fail(
      `run must throw a BackendError, not ${error instanceof Error ? error.stack : error}`,
    );
  }
  return error;
}

/** Only for work that makes files: an empty text can be a good answer. */
function checkNoOutput(run: Case): Promise<void> {
  return withBackend(run, async (backend) => {
    // Two jobs, so two ids: a server may keep a result under the id of its job.
    const id = "01890a5d-ac96-774b-bcce-b302099a8058";
    const example = jobOf(run, inputOf(run, run.kind), { id });
    await succeed(run, example, backend);
    if (example.artifacts.length > 0) await failure(run, "null-output", backend);
  });
}
