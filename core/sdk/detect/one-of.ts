/**
 * A transport over several servers of one kind. What answers at the URL decides which one is
 * spoken to, unless the settings name it; a server that stops to fit is looked at again.
 */
import { BackendError } from "../errors.ts";
import type { Job } from "../job.ts";
import { nearest } from "../nearest.ts";
import type { Context, Health } from "../plugin.ts";
import { evidenceAt } from "./evidence.ts";
import type { Choice, ChosenTransport, Variant } from "./types.ts";

/** Chooses by `choice`. What was found is remembered for each backend, by its settings' object. */
export function oneOf<Config extends object, Input>(
  choice: Choice<Config, Input>,
): ChosenTransport<Config, Input> {
  const found = new WeakMap<Config, Variant<Config, Input>>();

  async function pick(ctx: Context<Config>, signal: AbortSignal): Promise<Variant<Config, Input>> {
    const name = choice.chosen?.(ctx.config);
    if (name !== undefined && name !== "auto") return named(choice, name);
    const known = found.get(ctx.config);
    if (known !== undefined) return known;
    const variant = await detect(choice, ctx, signal);
    found.set(ctx.config, variant);
    return variant;
  }

  /** Whatever comes back at this address later may be another server. */
  async function healthOf(ctx: Context<Config>, signal: AbortSignal): Promise<Health> {
    const { name, transport } = await pick(ctx, signal);
    try {
      const said = saidOf(name, await transport.health(ctx, signal));
      if (said.status !== "ready") found.delete(ctx.config);
      return said;
    } catch (error) {
      found.delete(ctx.config);
      throw error;
    }
  }

  return {
    pick,
    async health(ctx, signal) {
      const before = found.get(ctx.config);
      if (before === undefined) return healthOf(ctx, signal);
      const first = await outcomeOf(healthOf(ctx, signal));
      // Another server may have taken the place of the one that was known.
      const fits = first.ok ? first.value.status === "ready" : !isMismatch(first.error);
      if (fits || (await pick(ctx, signal)) === before) return settled(first);
      return healthOf(ctx, signal);
    },
    async run(job, ctx) {
      const { name, transport } = await pick(ctx, job.signal);
      try {
        return await transport.run(withOwnSteps(job, name), ctx);
      } catch (error) {
        if (isMismatch(error)) found.delete(ctx.config);
        throw error;
      }
    },
    async options(ctx, signal) {
      const { transport } = await pick(ctx, signal);
      return (await transport.options?.(ctx, signal)) ?? {};
    },
  };
}

async function detect<Config, Input>(
  { title, variants }: Choice<Config, Input>,
  { http, log }: Context<Config>,
  signal: AbortSignal,
): Promise<Variant<Config, Input>> {
  const visible = variants.filter(({ missing }) => missing !== undefined);
  const pages = [...new Set(visible.flatMap((variant) => variant.pages ?? []))];
  const sockets = [...new Set(visible.flatMap((variant) => variant.sockets ?? []))];
  const evidence = await evidenceAt(http, { pages, sockets }, signal);
  const reasons: string[] = [];
  for (const variant of visible) {
    const missing = variant.missing?.(evidence);
    if (missing === undefined) {
      log.info("found out what answers", { variant: variant.name, evidence: evidence.summary });
      return variant;
    }
    reasons.push(`${variant.name}: ${missing}`);
  }
  throw new BackendError(
    "BACKEND_MISMATCH",
    `What answers at ${http.baseUrl} is no server of ${title}: ${evidence.summary}. ` +
      `It lacks, for ${reasons.join("; for ")}`,
  );
}

function named<Config, Input>(
  { title, variants }: Choice<Config, Input>,
  name: string,
): Variant<Config, Input> {
  const variant = variants.find((one) => one.name === name);
  if (variant !== undefined) return variant;
  const names = variants.map((one) => one.name);
  const meant = nearest(name, names);
  const hint = meant === undefined ? `it has ${names.join(", ")}` : `did you mean ${meant}?`;
  throw new BackendError("BACKEND_MISMATCH", `${title} has no variant "${name}"; ${hint}`);
}

/** So that after a restart with another variant none takes up what it did not begin. */
function withOwnSteps<Input>(job: Job<Input>, name: string): Job<Input> {
  return { ...job, step: (step, work) => job.step(`${name}: ${step}`, work) };
}

function saidOf(name: string, health: Health): Health {
  if (health.status !== "ready") return { ...health, reason: `${name}: ${health.reason}` };
  const { version } = health;
  return { ...health, version: version === undefined ? name : `${name} ${version}` };
}

type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown };

function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  return work.then(
    (value) => ({ ok: true, value }),
    (error: unknown) => ({ ok: false, error }),
  );
}

function settled<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  throw outcome.error;
}

function isMismatch(error: unknown): boolean {
  return BackendError.is(error) && error.code === "BACKEND_MISMATCH";
}
