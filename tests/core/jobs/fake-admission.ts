/** Leases for tests: first come, first served, a number of them per backend, steered by the test. */
import type { AdmissionPort, LeaseEnd, LeasePort } from "../../../core/jobs/mod.ts";

export type LeaseRequest = Parameters<AdmissionPort["acquire"]>[0];

export interface FakeAdmission extends AdmissionPort {
  /** Every request, in the order of their arrival. */
  readonly requests: readonly LeaseRequest[];
  /** How the leases ended, in that order. */
  readonly released: readonly { readonly jobId: string; readonly end: LeaseEnd | undefined }[];
  /** Grants nothing until `open`. */
  hold(): void;
  open(): void;
  /** Rejects the request of a waiting job, as a scheduler does whose model does not load. */
  refuse(jobId: string, error: unknown): void;
  /** Backends that take jobs; every one unless said. */
  takeOn(...backends: string[]): void;
}

interface Waiting {
  readonly request: LeaseRequest;
  readonly grant: (lease: LeasePort) => void;
  readonly refuse: (error: unknown) => void;
}

export function createFakeAdmission(slots: number): FakeAdmission {
  const requests: LeaseRequest[] = [];
  const released: { jobId: string; end: LeaseEnd | undefined }[] = [];
  const running = new Map<string, number>();
  let waiting: Waiting[] = [];
  let usable: readonly string[] | undefined;
  let held = false;

  function grant({ request, grant }: Waiting, backend: string): void {
    const { jobId } = request;
    running.set(backend, (running.get(backend) ?? 0) + 1);
    let isHeld = true;
    grant({
      jobId,
      backend,
      device: request.choices.find((it) => it.backend === backend)?.demand && "gpu0",
      release(end) {
        if (!isHeld) return;
        isHeld = false;
        running.set(backend, (running.get(backend) ?? 0) - 1);
        released.push({ jobId, end });
        decide();
      },
    });
  }

  function decide(): void {
    if (held) return;
    for (const one of waiting) {
      const free = one.request.choices.find(
        ({ backend }) => (running.get(backend) ?? 0) < slots && (usable?.includes(backend) ?? true),
      );
      if (!free) continue;
      waiting = waiting.filter((it) => it !== one);
      grant(one, free.backend);
    }
  }

  return {
    requests,
    released,
    hold() {
      held = true;
    },
    open() {
      held = false;
      decide();
    },
    takeOn(...backends) {
      usable = backends;
      decide();
    },
    refuse(jobId, error) {
      const one = waiting.find(({ request }) => request.jobId === jobId);
      waiting = waiting.filter((it) => it !== one);
      one?.refuse(error);
    },
    acquire: (request, signal) =>
      new Promise((resolve, reject) => {
        requests.push(request);
        if (signal.aborted) return reject(signal.reason);
        const one: Waiting = { request, grant: resolve, refuse: reject };
        waiting.push(one);
        signal.addEventListener(
          "abort",
          () => {
            waiting = waiting.filter((it) => it !== one);
            reject(signal.reason);
          },
          { once: true },
        );
        decide();
      }),
    waiting(jobId) {
      const ahead = waiting.findIndex(({ request }) => request.jobId === jobId);
      return ahead < 0 ? undefined : { ahead, reason: "device_busy" };
    },
  };
}
