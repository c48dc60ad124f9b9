/** What a job can wait for, each with its values, and the sentence that says it to a person. */

export interface Where {
  readonly backend: string;
  readonly model: string;
  readonly device: string;
}

/** A model that would have to leave so that another has room. */
export interface Leaver {
  readonly backend: string;
  readonly model: string;
  readonly residentMiB: number;
  /** `loading`: on its way, or there for jobs that have not used it yet. */
  readonly state: "idle" | "busy" | "pinned" | "stuck" | "loading" | "leaving";
}

/** A job that computes, by its model. */
export interface Busy {
  readonly backend: string;
  readonly model: string;
  /** Undefined when it has run for longer than expected. */
  readonly restMs: number | undefined;
}

interface Shortage extends Where {
  readonly neededMiB: number;
  readonly freeMiB: number;
  readonly leave: readonly Leaver[];
}

export type WaitsFor =
  /** It can never run here. */
  | ({ readonly kind: "too_large"; readonly neededMiB: number; readonly limitMiB: number } & Where)
  | { readonly kind: "backend_down"; readonly backend: string; readonly detail?: string }
  | ({ readonly kind: "load_failed"; readonly detail?: string; readonly againInMs: number } & Where)
  /** Memory of processes that nobody here manages. */
  | ({
      readonly kind: "device_foreign";
      readonly neededMiB: number;
      readonly limitMiB: number;
      readonly foreignMiB: number;
    } & Where)
  | ({ readonly kind: "pinned" } & Shortage)
  /** Its model is on its way; `leaving` are those that make room for it first. */
  | ({
      readonly kind: "loading";
      /** Undefined when it takes longer than expected. */
      readonly restMs: number | undefined;
      readonly leaving: readonly string[];
    } & Where)
  | { readonly kind: "backend_busy"; readonly backend: string; readonly slots: number }
  /** The device does one thing at a time. */
  | { readonly kind: "device_busy"; readonly device: string; readonly by: readonly Busy[] }
  | {
      readonly kind: "heavy_lane";
      readonly device: string;
      readonly limit: number;
      readonly by: readonly Busy[];
    }
  | ({ readonly kind: "memory" } & Shortage)
  /** Models that were told to leave and did not. */
  | ({ readonly kind: "stuck" } & Shortage)
  /** Another job goes next on the device. */
  | {
      readonly kind: "reserved";
      readonly device: string;
      readonly backend: string;
      readonly model: string;
      readonly overdue: boolean;
    }
  | { readonly kind: "fair_share"; readonly aheadMs: number; readonly allowedMs: number }
  | { readonly kind: "order"; readonly ahead: number; readonly ordersBy: "batch" | "arrival" };

export type WaitReason = WaitsFor["kind"];

/** One or more sentences with the values in them. */
export function sentenceOf(waits: WaitsFor): string {
  switch (waits.kind) {
    case "too_large":
      return `${needOf(waits)}, where ${mib(waits.limitMiB)} may be used: it can never run there.`;
    case "backend_down":
      return `${waits.backend} takes no work now${detailOf(waits)}.`;
    case "load_failed": {
      const again = `It is tried again in ${seconds(waits.againInMs)}.`;
      return `${nameOf(waits)} did not load on ${waits.device}${detailOf(waits)}. ${again}`;
    }
    case "device_foreign": {
      const { foreignMiB, limitMiB } = waits;
      const held = `${mib(foreignMiB)} of the ${mib(limitMiB)} there`;
      return `${needOf(waits)}; processes that nobody here manages hold ${held}.`;
    }
    case "pinned": {
      const pinned = list(names(waits.leave, "pinned"));
      return `${shortageOf(waits)} ${pinned} would have to leave and may not be evicted.`;
    }
    case "loading":
      return loadingOf(waits);
    case "backend_busy": {
      const jobs = waits.slots === 1 ? "one job" : `${waits.slots} jobs`;
      return `${waits.backend} takes ${jobs} at once and has as many.`;
    }
    case "device_busy":
      return `${waits.device} does one thing at a time: ${busyOf(waits.by, "it is loading")}.`;
    case "heavy_lane": {
      const jobs = waits.limit === 1 ? "one long job computes" : `${waits.limit} long jobs compute`;
      return `At most ${jobs} on ${waits.device} at once: ${busyOf(waits.by, "it is taken")}.`;
    }
    case "memory":
      return memoryOf(waits);
    case "stuck": {
      const stuck = list(names(waits.leave, "stuck"));
      return `${shortageOf(waits)} ${stuck} did not leave when told to; a server that Switchyard runs (\`process:\`) can be stopped.`;
    }
    case "reserved": {
      const who = waits.overdue ? "An overdue job" : "A job that waits for memory";
      return `${who} of ${nameOf(waits)} goes next on ${waits.device}.`;
    }
    case "fair_share": {
      const used = `${seconds(waits.aheadMs)} of devices more than another that waits`;
      return `This key has used ${used}; ${seconds(waits.allowedMs)} are allowed.`;
    }
    case "order":
      return orderOf(waits);
  }
}

function needOf(waits: Where & { readonly neededMiB: number }): string {
  return `${nameOf(waits)} needs ${mib(waits.neededMiB)} on ${waits.device}`;
}

function detailOf({ detail }: { readonly detail?: string }): string {
  return detail === undefined ? "" : `: ${detail.replace(/\.$/, "")}`;
}

function shortageOf(waits: Shortage): string {
  return `${needOf(waits)}, ${mib(waits.freeMiB)} are free.`;
}

function loadingOf(waits: WaitsFor & { kind: "loading" }): string {
  const { restMs, leaving, device } = waits;
  const name = nameOf(waits);
  if (leaving.length > 0) {
    const are = leaving.length === 1 ? "is" : "are";
    return `${list(leaving)} ${are} leaving ${device} to make room for ${name}.`;
  }
  if (restMs === undefined) return `${name} is being loaded on ${device}, longer than expected.`;
  return `${name} is being loaded on ${device}, expected in ${seconds(restMs)}.`;
}

function memoryOf(waits: WaitsFor & { kind: "memory" }): string {
  const { leave } = waits;
  if (leave.length === 0) return `${shortageOf(waits)} Running jobs hold the rest.`;
  const busy = names(leave, "busy");
  const loading = names(leave, "loading");
  const sentences = [
    shortageOf(waits),
    `${list(leave.map(nameOf))} would have to leave.`,
    ...(busy.length === 0 ? [] : [`${list(busy)} ${busy.length === 1 ? "is" : "are"} computing.`]),
    ...(loading.length === 0 ? [] : [`${list(loading)} came for other jobs that wait.`]),
  ];
  return sentences.join(" ");
}

function orderOf({ ahead, ordersBy }: WaitsFor & { kind: "order" }): string {
  if (ahead === 0) return "It goes next.";
  const why = ordersBy === "arrival" ? "they came earlier" : "more waits there for less work";
  return `${ahead === 1 ? "One job goes" : `${ahead} jobs go`} first: ${why}.`;
}

function busyOf(by: readonly Busy[], otherwise: string): string {
  if (by.length === 0) return otherwise;
  return by
    .map(({ restMs, ...busy }) =>
      restMs === undefined
        ? `${nameOf(busy)}, longer than expected`
        : `${nameOf(busy)}, expected to end in ${seconds(restMs)}`,
    )
    .join("; ");
}

function names(leave: readonly Leaver[], state: Leaver["state"]): string[] {
  return leave.filter((leaver) => leaver.state === state).map(nameOf);
}

function nameOf({ backend, model }: Pick<Where, "backend" | "model">): string {
  return backend === model ? backend : `${backend}/${model}`;
}

function list(words: readonly string[]): string {
  if (words.length < 2) return words[0] ?? "";
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function mib(value: number): string {
  return `${Math.round(value).toLocaleString("en-US")} MiB`;
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.ceil(ms / 1000)).toLocaleString("en-US")} s`;
}
