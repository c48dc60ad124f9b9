/** The loop that owns the ledger: what it takes from a policy and from the outside, and what not. */
import { describe, expect, test } from "bun:test";
import { exclusive } from "../../../core/vram/policy/exclusive.ts";
import { fifo } from "../../../core/vram/policy/fifo.ts";
import type { Policy, Step, View } from "../../../core/vram/policy/policy.ts";
import { openDesk } from "./policy/desk.ts";

/** Says one step, once there is a job. */
function saying(step: (view: View) => Step | undefined): Policy {
  return { name: "test", next: (view) => (view.groups.length > 0 ? step(view) : undefined) };
}

describe("steps of a policy", () => {
  const firstOf = (view: View) => {
    const group = view.groups[0]!;
    const line = group.lines[0]!;
    return { job: line.jobs[line.head]!, place: group.places[0]! };
  };

  test("a load without room is refused, with what there is", () => {
    const desk = openDesk({
      devices: [5_000],
      policy: saying((view) => ({ kind: "load", ...firstOf(view), victims: [] })),
    });
    const group = desk.model("m", { mib: 6_000 });
    expect(() => desk.ask("a", group)).toThrow(
      "policy test: m/m on gpu0 needs 6000 MiB and there are 5000",
    );
  });

  test("a start where the model is not is refused", () => {
    const desk = openDesk({ policy: saying((view) => ({ kind: "start", ...firstOf(view) })) });
    const group = desk.model("m", { mib: 1_000 });
    expect(() => desk.ask("a", group)).toThrow("job a cannot start in m/m on gpu0 now");
  });

  test("a victim that computes is refused", () => {
    const desk = openDesk({
      policy: saying((view) => {
        const { job, place } = firstOf(view);
        const busy = view.devices[0]!.places[0];
        if (!busy || busy === place) return { kind: "start", job, place };
        return { kind: "load", job, place, victims: [busy] };
      }),
    });
    const busy = desk.model("busy", { mib: 1_000 });
    desk.bring(busy);
    desk.ask("a", busy);
    const other = desk.model("other", { mib: 1_000 });
    expect(() => desk.ask("b", other)).toThrow("busy/busy on gpu0 cannot leave now");
  });

  test("a policy that goes round in circles is stopped", () => {
    const desk = openDesk({
      policy: saying((view) => {
        const { job, place } = firstOf(view);
        const [device] = view.devices;
        if (device!.reservation) return { kind: "unreserve", device: device! };
        return { kind: "reserve", job, place, victims: [], overdue: true };
      }),
    });
    const group = desk.model("m", { mib: 1_000 });
    expect(() => desk.ask("a", group)).toThrow("does not come to an end");
  });
});

describe("facts from outside", () => {
  test("a load waits until the victims' memory is really free", () => {
    const desk = openDesk({ devices: [10_000] });
    desk.bring(desk.model("old", { mib: 8_000 }));
    const next = desk.model("next", { mib: 8_000 });
    desk.ask("a", next);
    expect(desk.log).toEqual(["evict old"]);
    expect(desk.devices[0]).toMatchObject({
      heldMiB: 8_000,
      leavingMiB: 8_000,
      promisedMiB: 8_000,
    });
    desk.left("old");
    expect(desk.log).toEqual(["evict old", "load next"]);
    expect(desk.devices[0]).toMatchObject({ heldMiB: 8_000, leavingMiB: 0, promisedMiB: 0 });
  });

  test("memory that strangers take is not promised; what was promised is given up", () => {
    const desk = openDesk({ devices: [10_000] });
    desk.bring(desk.model("old", { mib: 8_000 }));
    const next = desk.model("next", { mib: 8_000 });
    desk.ask("a", next);
    desk.devices[0]!.foreignMiB = 5_000;
    desk.scheduler.reconsider();
    expect(desk.devices[0]).toMatchObject({ promisedMiB: 0 });
    desk.left("old");
    expect(desk.log).toEqual(["evict old"]);
    desk.devices[0]!.foreignMiB = 0;
    desk.scheduler.reconsider();
    expect(desk.log).toEqual(["evict old", "load next"]);
  });

  test("what is found after a start of the gateway is counted, also beyond the device", () => {
    const desk = openDesk({ devices: [10_000] });
    desk.bring(desk.model("one", { mib: 8_000 }));
    desk.bring(desk.model("two", { mib: 8_000 }));
    expect(desk.devices[0]!.heldMiB).toBe(16_000);
    expect(desk.scheduler.overcommitted).toHaveLength(1);
  });

  test("a load for jobs that were all withdrawn is given up before it begins", () => {
    const desk = openDesk({ devices: [10_000] });
    desk.bring(desk.model("old", { mib: 8_000 }));
    const job = desk.ask("a", desk.model("next", { mib: 8_000 }));
    desk.scheduler.withdraw(job);
    desk.left("old");
    expect(desk.log).toEqual(["evict old"]);
    expect(desk.devices[0]).toMatchObject({ heldMiB: 0, promisedMiB: 0 });
  });

  test("a server that is being emptied is not given another model meanwhile", () => {
    const desk = openDesk({ devices: [12_000] });
    const one = desk.model("one", { mib: 5_000, slots: 2, frees: "everything" });
    const two = desk.scheduler.addPlace({
      server: one.places[0]!.server,
      ...{ device: desk.devices[0]!, model: "two", residentMiB: 2_000, loadMs: 5_000 },
    });
    desk.bring(one);
    desk.ask("a", desk.model("other", { mib: 8_000 }));
    desk.ask("b", desk.scheduler.addGroup("two", [two]));
    expect(desk.log).toEqual(["evict one"]);
    desk.left("one");
    expect(desk.log.toSorted()).toEqual(["evict one", "load other", "load two"]);
  });

  test("what happens at one moment is known before anything is decided", () => {
    const desk = openDesk({ compute: "lane" });
    const long = desk.model("long", { mib: 1_000 });
    const short = desk.model("short", { mib: 1_000 });
    desk.scheduler.together(() => {
      desk.ask("a", long, { runMs: 9_000 });
      expect(desk.log).toEqual([]);
      desk.ask("b", short, { runMs: 10 });
    });
    expect(desk.log).toEqual(["load short"]);
  });

  test("working memory is kept for the job that a model was loaded for", () => {
    const desk = openDesk({ devices: [10_000] });
    const group = desk.model("m", { mib: 4_000 });
    desk.ask("a", group, { workingMiB: 5_000 });
    desk.ask("b", desk.model("other", { mib: 4_000 }));
    expect(desk.log).toEqual(["load m"]);
    desk.loaded("m");
    expect(desk.running()).toEqual(["a"]);
    expect(desk.devices[0]).toMatchObject({ heldMiB: 9_000, promisedMiB: 0 });
  });
});

describe("the other policies", () => {
  test("fifo: nobody goes before the oldest job, and models stay side by side", () => {
    const desk = openDesk({ policy: fifo, devices: [20_000] });
    const one = desk.model("one", { mib: 8_000 });
    const two = desk.model("two", { mib: 8_000 });
    desk.bring(two);
    desk.scheduler.together(() => {
      desk.ask("a", one, { runMs: 9_000 });
      desk.ask("b", two, { runMs: 10 });
    });
    expect(desk.log).toEqual(["load one"]);
    desk.loaded("one");
    expect(desk.running()).toEqual(["a", "b"]);
  });

  test("exclusive: one model on a device, and the next only when it is gone", () => {
    const desk = openDesk({ policy: exclusive, devices: [20_000] });
    const one = desk.model("one", { mib: 1_000 });
    const two = desk.model("two", { mib: 1_000 });
    desk.bring(one);
    desk.ask("a", one);
    desk.ask("b", two);
    expect(desk.log).toEqual(["start a one"]);
    desk.end("a");
    expect(desk.log.at(-1)).toBe("evict one");
    desk.scheduler.reconsider();
    expect(desk.log.at(-1)).toBe("evict one");
    desk.left("one");
    expect(desk.log.at(-1)).toBe("load two");
  });
});
