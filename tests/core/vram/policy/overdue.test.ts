/** Who waits too long, who asks for too much, and who must begin in time. */
import { describe, expect, test } from "bun:test";
import { type Desk, openDesk } from "./desk.ts";

/** A device on which `hot` is always busy and `cold` has no room beside it. */
function crowded(options: Parameters<typeof openDesk>[0] = {}): {
  readonly desk: Desk;
  readonly turn: () => void;
  readonly waitForCold: (limit: number) => number;
} {
  const desk = openDesk({ devices: [10_000], ...options });
  const hot = desk.model("hot", { mib: 8_000, slots: 2 });
  desk.bring(hot);
  let count = 0;
  const ask = () => desk.ask(`hot${count++}`, hot, { runMs: 5_000 });
  for (let index = 0; index < 4; index++) ask();
  const turn = () => {
    const [first] = desk.running().filter((id) => id.startsWith("hot"));
    if (first !== undefined) desk.end(first);
    ask();
    desk.pass(2_500);
  };
  const waitForCold = (limit: number) => {
    let turns = 0;
    while (turns < limit && !desk.log.includes("load cold")) {
      turn();
      turns++;
      if (desk.log.at(-1) === "evict hot") desk.left("hot");
    }
    return turns;
  };
  return { desk, turn, waitForCold };
}

describe("the overdue lane", () => {
  test("a job that hotter ones would starve gets its turn", () => {
    const { desk, waitForCold } = crowded();
    desk.ask("c", desk.model("cold", { mib: 8_000 }), { runMs: 9_000 });
    // Overdue after 60 s and twice its 9 s, and then the hot jobs that run end.
    expect(waitForCold(200)).toBeLessThan(40);
    desk.loaded("cold");
    expect(desk.running()).toEqual(["c"]);
  });

  test("nothing drains before the job is overdue", () => {
    const { desk, turn } = crowded();
    desk.ask("c", desk.model("cold", { mib: 8_000 }), { runMs: 9_000 });
    for (let index = 0; index < 30; index++) turn();
    expect(desk.running()).toHaveLength(2);
    expect(desk.log).not.toContain("evict hot");
  });

  test("the next turn waits until the lane has had no more than its share", () => {
    const { desk, waitForCold } = crowded({ settings: { overdueShare: 0.1 } });
    const cold = desk.model("cold", { mib: 8_000, loadMs: 5_000 });
    desk.ask("c", cold, { runMs: 9_000 });
    waitForCold(200);
    desk.loaded("cold");
    const [device] = desk.devices;
    expect(device!.reserveAfterMs).toBe(desk.nowMs + (9_000 + 5_000) / 0.1);
  });

  test("what is near its end may finish, and what is short may go on, while a long job runs", () => {
    const desk = openDesk({ devices: [20_000] });
    const long = desk.model("long", { mib: 10_000 });
    const short = desk.model("short", { mib: 8_000 });
    const next = desk.model("next", { mib: 12_000 });
    desk.bring(long);
    desk.bring(short);
    desk.ask("a", long, { runMs: 300_000 });
    desk.ask("b", next, { runMs: 20_000 });
    desk.pass(150_000);
    expect(desk.devices[0]!.reservation?.job.id).toBe("b");
    desk.ask("c", short);
    expect(desk.running()).toEqual(["a", "c"]);
  });

  test("a long job that is in the way of an overdue one does not stand back for short ones", () => {
    const desk = openDesk({ devices: [20_000] });
    const short = desk.model("short", { mib: 2_000, slots: 4 });
    const long = desk.model("long", { mib: 10_000 });
    const late = desk.model("late", { mib: 12_000 });
    desk.bring(short);
    desk.ask("late", late, { runMs: 9_000 });
    desk.loaded("late");
    desk.end("late");
    desk.ask("long", long, { runMs: 20_000 });
    desk.left("late");
    desk.ask("late", late, { runMs: 9_000 });
    desk.nowMs = 79_000;
    desk.ask("s1", short);
    desk.loaded("long");
    expect(desk.running()).toEqual(["s1", "long"]);
  });

  test("one key's flood of overdue jobs does not keep another's out", () => {
    const desk = openDesk({ devices: [10_000], compute: "lane" });
    const flood = desk.model("flood", { mib: 8_000 });
    const rare = desk.model("rare", { mib: 8_000 });
    for (let index = 0; index < 50; index++) desk.ask(`f${index}`, flood, { key: "flooder" });
    desk.loaded("flood");
    desk.nowMs = 10_000;
    desk.ask("r", rare, { key: "other", runMs: 9_000 });
    desk.pass(100_000);
    desk.end("f0");
    expect(desk.devices[0]!.reservation?.job.id).toBe("r");
  });
});

describe("start_by", () => {
  test("a job that must begin soon is reserved for in time, a twin without a limit is not", () => {
    for (const startByMs of [undefined, 20_000]) {
      const { desk, turn } = crowded();
      desk.ask("c", desk.model("cold", { mib: 8_000 }), { runMs: 9_000, startByMs });
      for (let index = 0; index < 6; index++) turn();
      const reserved =
        desk.devices[0]!.reservation?.job.id === "c" || desk.log.includes("evict hot");
      expect(reserved).toBe(startByMs !== undefined);
    }
  });
});

describe("fair shares", () => {
  /** Two keys with the same work; how many of each have run after so many jobs. */
  function shares(weights: Readonly<Record<string, number>>, jobs: number): Record<string, number> {
    const desk = openDesk({ settings: { fairnessMs: 10_000, overdueAfterMs: 1e9 } });
    const group = desk.model("m", { mib: 4_000 });
    desk.bring(group);
    const [first, second] = Object.keys(weights) as [string, string];
    desk.scheduler.together(() => {
      for (const key of [first, second]) {
        for (let index = 0; index < jobs; index++) {
          const wish = { key, keyWeight: weights[key]!, priority: key === first ? 6 : 5 };
          desk.ask(`${key}${index}`, group, wish);
        }
      }
    });
    const ran: Record<string, number> = { [first]: 0, [second]: 0 };
    for (let index = 0; index < jobs; index++) {
      const [id] = desk.running() as [string];
      const key = id.startsWith(first) ? first : second;
      ran[key] = (ran[key] ?? 0) + 1;
      desk.end(id);
    }
    return ran;
  }

  test("a key with a higher priority does not get ahead by more than the quantum", () => {
    const ran = shares({ high: 1, low: 1 }, 40);
    // Ten seconds of jobs of five seconds: two or three more, whatever the priority.
    expect(ran.high! - ran.low!).toBeLessThanOrEqual(4);
    expect(ran.high!).toBeGreaterThanOrEqual(ran.low!);
  });

  test("a key of twice the weight gets twice as much", () => {
    const ran = shares({ high: 2, low: 1 }, 60);
    expect(ran.high! / ran.low!).toBeGreaterThan(1.6);
    expect(ran.high! / ran.low!).toBeLessThan(2.6);
  });

  test("a key that is ahead goes on when nobody else can use the device", () => {
    const desk = openDesk({ settings: { fairnessMs: 1_000 } });
    const mine = desk.model("mine", { mib: 4_000 });
    const away = desk.model("away", { mib: 4_000 });
    desk.bring(mine);
    away.places[0]!.server.available = false;
    desk.ask("x", away, { key: "b" });
    for (const id of ["a1", "a2", "a3"]) {
      desk.ask(id, mine, { key: "a" });
      expect(desk.running()).toEqual([id]);
      desk.end(id);
    }
  });

  test("who used an idle device at night owes nothing in the morning", () => {
    const desk = openDesk({ settings: { fairnessMs: 1_000 } });
    const group = desk.model("m", { mib: 4_000 });
    desk.bring(group);
    for (let index = 0; index < 50; index++) {
      desk.ask(`night${index}`, group, { key: "owl" });
      desk.end(`night${index}`);
    }
    for (const id of ["lark1", "lark2", "lark3"]) desk.ask(id, group, { key: "lark" });
    desk.ask("owl", group, { key: "owl" });
    desk.end("lark1");
    desk.end("lark2");
    expect(desk.running()).toEqual(["owl"]);
  });
});
