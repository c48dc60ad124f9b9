/** Followers of the event log: no gap, no duplicate, whenever they come and whoever is late. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { JobEvent } from "../../../core/events/mod.ts";
import { createHub } from "../../../core/jobs/hub.ts";

function eventOf(seq: number, last: boolean): JobEvent {
  const type = last ? "job.completed" : "job.progress";
  return { jobId: "j", seq, type, data: {}, atMs: 0 };
}

/** A log whose events are committed and published at different times, as the real one's are. */
function openLog(length: number) {
  const log: JobEvent[] = [];
  let published = 0;
  const hub = createHub((_, after, limit) => log.filter(({ seq }) => seq > after).slice(0, limit));
  return {
    hub,
    commit() {
      if (log.length < length) log.push(eventOf(log.length + 1, log.length + 1 === length));
    },
    publish() {
      const next = log[published];
      if (next) hub.publish(log[published++] as JobEvent);
    },
  };
}

describe("followers of a job's events", () => {
  test("get every event after theirs once and in order, under any interleaving", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("commit", "commit", "publish", "follow", "lose"), {
          maxLength: 80,
        }),
        fc.nat({ max: 12 }),
        (actions, after) => {
          const length = 12;
          const { hub, commit, publish } = openLog(length);
          const followers: { seen: number[]; ends: number; after: number }[] = [];
          const follow = () => {
            const one = { seen: [] as number[], ends: 0, after };
            followers.push(one);
            hub.follow("j", after, {
              event: ({ seq }) => one.seen.push(seq),
              end: () => one.ends++,
            });
          };
          for (const action of actions) {
            if (action === "commit") commit();
            if (action === "publish") publish();
            if (action === "follow") follow();
            // An event that was published to nobody, as before a restart.
            if (action === "lose") commit();
          }
          follow();
          for (let count = 0; count < length; count++) {
            commit();
            publish();
          }
          for (const { seen, ends } of followers) {
            const wanted = Array.from({ length: length - after }, (_, index) => after + index + 1);
            expect(seen).toEqual(wanted);
            expect(ends).toBe(after === length ? 0 : 1);
          }
          if (after < length) expect(hub.followers).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a gap between publications is filled from the log", () => {
    const log = [1, 2, 3, 4].map((seq) => eventOf(seq, seq === 4));
    const hub = createHub((_, after) => log.filter(({ seq }) => seq > after));
    const seen: number[] = [];
    hub.follow("j", 4, { event() {}, end() {} });
    const empty = createHub((_, after) => (after === 0 ? [] : log.filter((e) => e.seq > after)));
    empty.follow("j", 0, { event: ({ seq }) => seen.push(seq), end() {} });
    empty.publish(eventOf(1, false));
    empty.publish(eventOf(3, false));
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  test("one that throws, or leaves during an event, disturbs no other", () => {
    const hub = createHub(() => []);
    const seen: number[] = [];
    let leave = () => {};
    let kept = 0;
    hub.follow("j", 0, {
      event() {
        leave();
        throw new Error("a socket broke");
      },
      end() {},
    });
    leave = hub.follow("j", 0, { event: () => kept++, end() {} });
    hub.follow("j", 0, { event: ({ seq }) => seen.push(seq), end() {} });
    hub.publish(eventOf(1, false));
    hub.publish(eventOf(2, true));
    expect(seen).toEqual([1, 2]);
    expect(kept).toBe(0);
    expect(hub.followers).toBe(0);
  });

  test("one that has had enough leaves in the middle of the log, which is not read further", () => {
    const log = Array.from({ length: 2_000 }, (_, index) => eventOf(index + 1, false));
    let read = 0;
    const hub = createHub((_, after, limit) => {
      read++;
      return log.slice(after, after + limit);
    });
    const seen: number[] = [];
    hub.follow("j", 0, {
      event({ seq }) {
        seen.push(seq);
        return seq < 3;
      },
      end() {},
    });
    expect(seen).toEqual([1, 2, 3]);
    expect(read).toBe(1);
    expect(hub.followers).toBe(0);
  });
});
