/** The first policy of admission: who computes next, and who waits for what. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createLaneAdmission, type Lease, type LeaseRequest } from "../../../core/vram/mod.ts";

const backends: Record<string, { device: string; concurrency: number; available: boolean }> = {};
function open(changes: typeof backends = {}) {
  const known = {
    image: { device: "gpu0", concurrency: 4, available: true },
    text: { device: "gpu0", concurrency: 4, available: true },
    video: { device: "gpu1", concurrency: 4, available: true },
    ...changes,
  } as typeof backends;
  const devices = { gpu0: { memoryMiB: 24_000 }, gpu1: {} };
  const admission = createLaneAdmission({ devices, backend: (name) => known[name] });
  const granted: string[] = [];
  const leases = new Map<string, Lease>();
  const ask = (jobId: string, more: Partial<LeaseRequest> = {}) => {
    const abort = new AbortController();
    const heavy = { model: "m", residentMiB: 1, workingMiB: 0 };
    const request = { jobId, backend: "image", demand: heavy, priority: 5, resume: false, ...more };
    const settled = admission.acquire(request, abort.signal).then(
      (lease) => {
        granted.push(jobId);
        leases.set(jobId, lease);
      },
      () => {},
    );
    return { abort, settled };
  };
  const release = async (jobId: string) => {
    leases.get(jobId)?.release();
    await turn();
  };
  return { admission, granted, leases, ask, release, known };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("admission", () => {
  test("interrupted work first, then the higher priority, then the older job", async () => {
    const { ask, granted, release } = open();
    ask("0-first");
    ask("3-low", { priority: 1 });
    ask("2-normal");
    ask("1-normal", { backend: "text" });
    ask("4-high", { priority: 9, backend: "text" });
    ask("5-resumed", { resume: true, priority: 0 });
    await turn();
    for (let next = 0; next < 6; next++) await release(granted[next] ?? "");
    expect(granted).toEqual(["0-first", "5-resumed", "4-high", "1-normal", "2-normal", "3-low"]);
  });

  test("one GPU-heavy job per device, and work without a GPU beside it", async () => {
    const { ask, granted, admission } = open();
    ask("a");
    ask("b", { backend: "text" });
    ask("c", { backend: "video" });
    ask("d", { demand: undefined });
    await turn();
    expect(granted.sort()).toEqual(["a", "c", "d"]);
    expect(admission.waiting("b")).toEqual({ ahead: 0, reason: "device_busy" });
    expect(admission.devices()).toMatchObject([{ jobId: "a" }, { jobId: "c" }]);
  });

  test("no more jobs on a backend than it is configured for", async () => {
    const text = { device: "gpu0", concurrency: 2, available: true };
    const { ask, granted, release, admission } = open({ text });
    for (const id of ["a", "b", "c", "d"]) ask(id, { backend: "text", demand: undefined });
    await turn();
    expect(granted).toEqual(["a", "b"]);
    expect(admission.waiting("d")).toEqual({ ahead: 1, reason: "backend_busy" });
    await release("a");
    expect(granted).toEqual(["a", "b", "c"]);
  });

  test("a backend that is down gets nothing until it is back, and holds up nobody", async () => {
    const down = { device: "gpu0", concurrency: 1, available: false };
    const { ask, granted, admission, known } = open({ text: down });
    ask("a", { backend: "text" });
    ask("b");
    await turn();
    expect(granted).toEqual(["b"]);
    expect(admission.waiting("a")?.reason).toBe("backend_down");
    known.text = { ...down, available: true };
    admission.reconsider();
    await turn();
    expect(admission.waiting("a")?.reason).toBe("device_busy");
  });

  test("who withdraws is not granted, and a lease ends only once", async () => {
    const { ask, granted, leases, release } = open();
    ask("a");
    const b = ask("b");
    ask("c");
    await turn();
    b.abort.abort(new Error("cancelled"));
    await release("a");
    await release("a");
    expect(granted).toEqual(["a", "c"]);
    leases.get("a")?.release();
    ask("d");
    await turn();
    expect(granted).toEqual(["a", "c"]);
  });

  test("the place of one among many is known without looking at each of them", async () => {
    let looks = 0;
    const admission = createLaneAdmission({
      devices: { gpu0: {} },
      backend() {
        looks++;
        return { device: "gpu0", concurrency: 1, available: false };
      },
    });
    const waits = Array.from({ length: 2_000 }, (_, index) => {
      const request = {
        jobId: String(index).padStart(5, "0"),
        backend: index % 4 < 2 ? "image" : "text",
        demand: { model: "m", residentMiB: 1, workingMiB: 0 },
        priority: index % 2,
        resume: false,
      };
      return admission.acquire(request, new AbortController().signal);
    });
    looks = 0;
    expect(admission.waiting("01999")).toEqual({ ahead: 999, reason: "backend_down" });
    expect(admission.waiting("00000")?.ahead).toBe(1_000);
    expect(looks).toBeLessThan(20);
    expect(waits).toHaveLength(2_000);
  });

  test("what can never fit is told with the missing MiB", () => {
    const { admission } = open();
    const demand = { model: "m", residentMiB: 20_000, workingMiB: 5_000 };
    const short = { device: "gpu0", neededMiB: 25_000, availableMiB: 24_000 };
    expect(admission.shortage("image", demand)).toEqual(short);
    expect(admission.shortage("video", demand)).toBeUndefined();
  });

  test("whatever comes, goes and withdraws, no device has two and nobody starves", async () => {
    const action = fc.record({
      kind: fc.constantFrom("ask", "release", "withdraw"),
      which: fc.nat({ max: 30 }),
      priority: fc.nat({ max: 9 }),
      backend: fc.constantFrom("image", "text", "video"),
      heavy: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const { ask, granted, leases, release } = open();
        const asked = new Map<string, { abort: AbortController; heavy: boolean; device: string }>();
        const open_ = new Set<string>();
        const check = () => {
          const heavy = granted.filter((id) => open_.has(id) && asked.get(id)?.heavy);
          const devices = heavy.map((id) => asked.get(id)?.device);
          expect(new Set(devices).size).toBe(devices.length);
        };
        for (const [index, { kind, which, priority, backend, heavy }] of actions.entries()) {
          const id = String(index).padStart(3, "0");
          if (kind === "ask") {
            const device = backend === "video" ? "gpu1" : "gpu0";
            const demand = heavy ? { model: "m", residentMiB: 1, workingMiB: 0 } : undefined;
            asked.set(id, { ...ask(id, { priority, backend, demand }), heavy, device });
            open_.add(id);
          }
          const other = [...asked.keys()][which];
          if (kind === "release" && other && leases.has(other)) {
            open_.delete(other);
            await release(other);
          }
          if (kind === "withdraw" && other && !leases.has(other)) {
            asked.get(other)?.abort.abort(new Error("gone"));
            open_.delete(other);
          }
          await turn();
          check();
        }
        for (let round = 0; round < 100 && open_.size > 0; round++) {
          for (const id of granted) {
            if (!open_.delete(id)) continue;
            await release(id);
            check();
          }
          await turn();
        }
        expect(open_.size).toBe(0);
      }),
      { numRuns: 60 },
    );
  });
});
