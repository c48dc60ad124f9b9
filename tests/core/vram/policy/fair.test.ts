/** The default policy, rule by rule: each test fails when its rule is taken out. */
import { describe, expect, test } from "bun:test";
import { openDesk } from "./desk.ts";

describe("the order", () => {
  test("a short batch goes before a long one that came first", () => {
    const desk = openDesk({ compute: "lane" });
    const long = desk.model("long", { mib: 4_000 });
    const short = desk.model("short", { mib: 4_000 });
    desk.scheduler.together(() => {
      desk.ask("a", long, { runMs: 9_000 });
      desk.ask("b", short, { runMs: 100 });
    });
    expect(desk.log).toEqual(["load short"]);
  });

  test("many jobs for one model outweigh the load that they share", () => {
    const desk = openDesk({ compute: "lane" });
    const one = desk.model("one", { mib: 4_000, loadMs: 8_000 });
    const many = desk.model("many", { mib: 4_000, loadMs: 10_000 });
    desk.scheduler.together(() => {
      desk.ask("a", one, { runMs: 1_000 });
      for (const id of ["b", "c", "d", "e"]) desk.ask(id, many, { runMs: 1_000 });
    });
    expect(desk.log).toEqual(["load many"]);
  });

  test("a higher priority outweighs a shorter run", () => {
    const desk = openDesk({ compute: "lane" });
    const long = desk.model("long", { mib: 4_000 });
    const short = desk.model("short", { mib: 4_000 });
    desk.scheduler.together(() => {
      desk.ask("a", short, { runMs: 1_000 });
      desk.ask("b", long, { runMs: 9_000, priority: 8 });
    });
    expect(desk.log).toEqual(["load long"]);
  });

  test("within a group the higher priority goes first", () => {
    const desk = openDesk();
    const group = desk.model("m", { mib: 4_000 });
    desk.bring(group);
    desk.scheduler.together(() => {
      desk.ask("a", group);
      desk.ask("b", group, { priority: 6 });
    });
    expect(desk.running()).toEqual(["b"]);
  });

  test("one long job computes at a time, short ones beside it", () => {
    const desk = openDesk();
    const long = desk.model("long", { mib: 4_000 });
    const other = desk.model("other", { mib: 4_000 });
    const short = desk.model("short", { mib: 4_000 });
    for (const group of [long, other, short]) desk.bring(group);
    desk.ask("a", long, { runMs: 20_000 });
    desk.ask("b", other, { runMs: 30_000 });
    desk.ask("c", short);
    expect(desk.running()).toEqual(["a", "c"]);
    desk.end("c");
    desk.end("a");
    expect(desk.running()).toEqual(["b"]);
  });

  test("a long job lets short ones finish first, but not those that overrun", () => {
    const desk = openDesk();
    const long = desk.model("long", { mib: 4_000 });
    const short = desk.model("short", { mib: 4_000 });
    desk.bring(long);
    desk.bring(short);
    desk.ask("a", short, { runMs: 5_000 });
    desk.ask("b", long, { runMs: 20_000 });
    expect(desk.running()).toEqual(["a"]);
    expect(desk.scheduler.wakeAtMs()).toBe(20_000);
    desk.pass(20_000);
    expect(desk.running()).toEqual(["a", "b"]);
  });

  test("the next long job's model comes beside the running one, when there is room", () => {
    const desk = openDesk();
    const long = desk.model("long", { mib: 10_000 });
    const next = desk.model("next", { mib: 10_000 });
    desk.bring(long);
    desk.ask("a", long, { runMs: 60_000 });
    desk.ask("b", next, { runMs: 20_000 });
    expect(desk.log).toEqual(["start a long", "load next"]);
    desk.loaded("next");
    desk.end("a");
    expect(desk.running()).toEqual(["b"]);
  });
});

describe("eviction", () => {
  test("what somebody waits for and is worth more per second stays", () => {
    const desk = openDesk({ devices: [10_000] });
    const resident = desk.model("resident", { mib: 8_000, slots: 1 });
    const big = desk.model("big", { mib: 8_000 });
    desk.bring(resident);
    desk.ask("a", resident, { runMs: 1_000 });
    desk.ask("b", resident, { runMs: 1_000 });
    desk.ask("c", big, { runMs: 8_000 });
    desk.end("a");
    expect(desk.running()).toEqual(["b"]);
    desk.end("b");
    expect(desk.log.at(-1)).toBe("evict resident");
  });

  test("of all that would make room the least valuable leaves, and nothing superfluous", () => {
    const desk = openDesk({ devices: [12_000] });
    const cheap = desk.model("cheap", { mib: 4_000, loadMs: 1_000 });
    const dear = desk.model("dear", { mib: 4_000, loadMs: 60_000 });
    const small = desk.model("small", { mib: 1_000, loadMs: 1_000 });
    const next = desk.model("next", { mib: 6_000 });
    for (const group of [cheap, dear, small]) {
      desk.bring(group);
      desk.ask(`use ${group.name}`, group);
      desk.end(`use ${group.name}`);
    }
    desk.ask("a", next);
    expect(desk.log.at(-1)).toBe("evict cheap");
  });

  test("a model that was loaded serves once before it leaves", () => {
    const desk = openDesk({ devices: [10_000] });
    const first = desk.model("first", { mib: 8_000 });
    const second = desk.model("second", { mib: 8_000 });
    desk.ask("a", first, { runMs: 9_000 });
    for (let index = 0; index < 20; index++) desk.ask(`b${index}`, second, { runMs: 100 });
    desk.loaded("first");
    expect(desk.log).toEqual(["load first", "start a first"]);
    desk.end("a");
    expect(desk.log.at(-1)).toBe("evict first");
  });

  test("a model that did not leave is not told again before its pause is over", () => {
    const desk = openDesk({ devices: [10_000] });
    const stuck = desk.model("stuck", { mib: 8_000 });
    const next = desk.model("next", { mib: 8_000 });
    desk.bring(stuck);
    desk.ask("a", next);
    desk.stayed("stuck", 30_000);
    desk.pass(10_000);
    expect(desk.log).toEqual(["evict stuck"]);
    expect(desk.scheduler.wakeAtMs()).toBe(30_000);
    desk.pass(20_000);
    expect(desk.log).toEqual(["evict stuck", "evict stuck"]);
  });

  test("a server that frees everything leaves as a whole, and only when it is idle", () => {
    const desk = openDesk({ devices: [12_000] });
    const one = desk.model("one", { mib: 5_000, slots: 2, frees: "everything" });
    const server = one.places[0]!.server;
    const two = desk.scheduler.addPlace({
      ...{ server, device: desk.devices[0]!, model: "two", residentMiB: 5_000, loadMs: 5_000 },
    });
    desk.bring(one);
    desk.scheduler.found(two);
    desk.ask("a", one);
    desk.ask("b", desk.model("other", { mib: 6_000 }));
    expect(desk.log).toEqual(["start a one"]);
    desk.end("a");
    expect(desk.log.at(-1)).toBe("evict one two");
  });

  test("idle models leave for the working memory of a job whose own model is there", () => {
    const desk = openDesk({ devices: [10_000] });
    const mine = desk.model("mine", { mib: 4_000 });
    const idle = desk.model("idle", { mib: 5_000 });
    desk.bring(mine);
    desk.bring(idle);
    desk.ask("a", mine, { workingMiB: 3_000 });
    expect(desk.log).toEqual(["evict idle"]);
    desk.left("idle");
    expect(desk.running()).toEqual(["a"]);
  });
});

describe("several devices", () => {
  test("a model is not loaded a second time while a slot for it is lacking anyway", () => {
    const desk = openDesk({ devices: [20_000, 20_000] });
    const group = desk.model("m", { mib: 8_000 });
    desk.ask("a", group);
    desk.ask("b", group);
    desk.loaded("m@gpu0");
    expect(desk.log).toEqual(["load m@gpu0", "start a m@gpu0"]);
  });

  test("a long job does not load elsewhere what will be free sooner where it is", () => {
    const desk = openDesk({ devices: [20_000, 20_000] });
    const group = desk.model("m", { mib: 8_000, slots: 2, loadMs: 30_000 });
    desk.bring(group);
    desk.ask("a", group, { runMs: 12_000 });
    desk.ask("b", group, { runMs: 12_000 });
    expect(desk.log).toEqual(["start a m@gpu0"]);
  });

  test("a short job goes to an empty device rather than beside a running one", () => {
    const desk = openDesk({ devices: [20_000, 20_000] });
    const short = desk.model("short", { mib: 4_000, loadMs: 1_000 });
    const long = desk.model("long", { mib: 8_000 });
    desk.bring(short);
    desk.bring(long);
    desk.ask("a", long, { runMs: 100_000 });
    desk.ask("b", short);
    expect(desk.log).toEqual(["start a long@gpu0", "load short@gpu1"]);
  });
});
