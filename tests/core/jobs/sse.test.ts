/** Events as a stream: however long the log and however slow the reader, nothing is missing. */
import { expect, test } from "bun:test";
import type { JobEvent } from "../../../core/events/mod.ts";
import { createHub } from "../../../core/jobs/hub.ts";
import { createEventStreams } from "../../../core/jobs/mod.ts";

const connection = { peer: "127.0.0.1", keepOpen() {}, upgrade: () => false };

test("a log longer than what may wait is streamed to its last event, read as it is wanted", async () => {
  const length = 5_000;
  const log = Array.from({ length }, (_, index): JobEvent => {
    const type = index + 1 === length ? "job.completed" : "job.delta";
    return { jobId: "j", seq: index + 1, type, data: {}, atMs: 0 };
  });
  let read = 0;
  const hub = createHub((_, after, limit) => {
    const page = log.slice(after, after + limit);
    read += page.length;
    return page;
  });
  const streams = createEventStreams();
  const answer = streams.open({ hub, jobId: "j", keyId: "key", after: 0, connection });
  // Nobody has read anything yet.
  expect(read).toBeLessThan(length / 2);
  const ids = [...(await answer.text()).matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  expect(ids).toEqual(log.map(({ seq }) => seq));
  expect(hub.followers).toBe(0);
});
