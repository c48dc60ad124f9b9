/**
 * Stand-ins for the two REST servers of DiffRhythm, with what is ugly about each:
 *
 * - `api`, ruess/DiffRhythm-with-API@b21c339: runs everything that comes at once, deletes files
 *   without stopping the work, and tells "unknown" while it rewrites its status file.
 * - `webapi`, mgraffam/DiffRhythm-webapi@bc2da9e: one job, knows only the current one, gives a file
 *   that is still being written, and tells no errors: the file never comes.
 */
import type { Fake } from "switchyard/sdk/testing";
import { createApi } from "./diffrhythm/api.ts";
import { createWebapi } from "./diffrhythm/webapi.ts";
import { createWork, type Submission } from "./diffrhythm/work.ts";

export interface FakeDiffRhythmOptions {
  /** `api` unless said. */
  readonly kind?: "api" | "webapi";
  /** 0, an ephemeral one, unless said. */
  readonly port?: number;
  /** Milliseconds of a step; 5 unless said. */
  readonly stepMs?: number;
}

export interface FakeDiffRhythm extends Fake {
  readonly submissions: readonly Submission[];
  /** Working now, and the most that ever did at once. */
  readonly working: number;
  readonly mostAtOnce: number;
  /** Forgets what a restart of the real one forgets; the port stays. */
  restart(): void;
  /** Ends what hangs. */
  release(): void;
}

export async function startFakeDiffRhythm(
  options: FakeDiffRhythmOptions = {},
): Promise<FakeDiffRhythm> {
  const { kind = "api", port = 0, stepMs = 5 } = options;
  const calls: string[] = [];
  const submissions: Submission[] = [];
  const stage = createWork(stepMs);
  const behind = (kind === "api" ? createApi : createWebapi)(stage, (one) => submissions.push(one));
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request) {
      const url = new URL(request.url);
      calls.push(`${request.method} ${url.pathname}`);
      return behind.answer(request, url);
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    calls,
    submissions,
    // Nothing can stop them.
    stopped: false,
    get working() {
      return stage.working;
    },
    get mostAtOnce() {
      return stage.mostAtOnce;
    },
    restart: behind.restart,
    release: stage.release,
    async stop() {
      stage.release();
      await server.stop(true);
    },
  };
}
