/**
 * The connection of one backend to its server: logged in, and bound to an endpoint. Kept until the
 * program restarts, which its `app_id` tells.
 */
import { BackendError } from "../errors.ts";
import type { HttpClient } from "../http.ts";
import type { Context } from "../plugin.ts";
import { type Bound, bind } from "./bind.ts";
import { type CookieJar, withLogin } from "./login.ts";
import type { GradioApp } from "./types.ts";
import { AppId, Config, Listing } from "./wire.ts";

/** One backend's server, as one call of a hook uses it. */
export interface Link {
  readonly title: string;
  /** With the login's cookie. */
  readonly http: HttpClient;
  readonly bound: Bound;
  readonly streamIdleMs: number;
  /** The binding no longer fits: the next look begins anew. */
  forget(): void;
}

export interface Connections<Config> {
  /** Throws BACKEND_MISMATCH when another program answers; `details.version` when it is Gradio. */
  open(ctx: Context<Config>, signal: AbortSignal): Promise<Link>;
}

/** What is known of one backend's server. */
interface Known {
  readonly jar: CookieJar;
  bound: Bound | undefined;
}

const OLDEST = 4;
const TIMEOUT_MS = 10_000;
const STREAM_IDLE_MS = 60_000;

export function createConnections<Config>(
  appOf: (config: Config) => GradioApp<never, never>,
): Connections<Config> {
  /** By the settings, of which there is one object for a backend's life. */
  const backends = new WeakMap<object, Known>();

  function knownOf(config: Config): Known {
    const fresh = { jar: { cookie: "" }, bound: undefined };
    if (typeof config !== "object" || config === null) return fresh;
    const known = backends.get(config) ?? fresh;
    backends.set(config, known);
    return known;
  }

  return {
    async open(ctx, signal) {
      const app = appOf(ctx.config);
      const known = knownOf(ctx.config);
      const http = withLogin(ctx.http, app.title, app.login, known.jar);
      if (known.bound === undefined || !(await isSame(http, known.bound, signal))) {
        known.bound = undefined;
        known.bound = await look(app, http, signal);
      }
      return {
        title: app.title,
        http,
        bound: known.bound,
        streamIdleMs: app.streamIdleMs ?? STREAM_IDLE_MS,
        forget: () => {
          known.bound = undefined;
        },
      };
    },
  };
}

/** The id of the running program; "" where it tells none. */
export async function appIdOf(
  http: HttpClient,
  prefix: string,
  signal?: AbortSignal,
): Promise<string> {
  const options = { as: AppId, timeoutMs: TIMEOUT_MS, ...(signal && { signal }) };
  try {
    return String((await http.get(`${prefix}/app_id`, options)).app_id);
  } catch (error) {
    if (BackendError.is(error) && OTHER_PROGRAM.has(error.code)) return "";
    throw error;
  }
}

const OTHER_PROGRAM = new Set(["BACKEND_REJECTED", "BACKEND_BAD_OUTPUT", "BACKEND_MISMATCH"]);

async function isSame(http: HttpClient, bound: Bound, signal: AbortSignal): Promise<boolean> {
  return bound.appId !== "" && (await appIdOf(http, bound.prefix, signal)) === bound.appId;
}

async function look(
  app: GradioApp<never, never>,
  http: HttpClient,
  signal: AbortSignal,
): Promise<Bound> {
  const ask = { signal, timeoutMs: TIMEOUT_MS };
  const config = await http
    .get("/config", { ...ask, as: Config })
    .catch((error: unknown) => Promise.reject(notGradio(error, app.title, http.baseUrl)));
  refuseVersion(config, app.title, http.baseUrl);
  const prefix = config.api_prefix ?? "";
  if (!/^(\/[\w-]+)*$/.test(prefix)) throw mismatch(`${http.baseUrl} names a prefix ${prefix}`);
  const listing = await http.get(`${prefix}/info`, { ...ask, as: Listing });
  return bind(app, http.baseUrl, config, listing);
}

function notGradio(error: unknown, title: string, baseUrl: string): unknown {
  if (!BackendError.is(error) || !OTHER_PROGRAM.has(error.code)) return error;
  const message = `${baseUrl} answers, but not as ${title} does: it is no Gradio; check its url`;
  return new BackendError("BACKEND_MISMATCH", message, { cause: error });
}

function refuseVersion({ version, protocol }: Config, title: string, baseUrl: string): void {
  const major = Number.parseInt(version, 10);
  const isOld = major < OLDEST || protocol === "ws" || protocol === "sse";
  if (!isOld && !Number.isNaN(major)) return;
  const what = `${title} at ${baseUrl} runs on Gradio ${version}, which is not supported`;
  throw mismatch(`${what}; install Gradio 4.44, 5 or 6 for it`, version);
}

function mismatch(message: string, version?: string): BackendError {
  const details = version === undefined ? {} : { details: { version } };
  return new BackendError("BACKEND_MISMATCH", message, details);
}
