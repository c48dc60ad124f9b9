/**
 * BullMQ doing what load/jobs.ts does: `add <port> <seconds> <parallel>` and
 * `pickup <port> <count> <spacing ms>`.
 */
import { Queue, Worker } from "bullmq";
import { measureAdds, measurePickup } from "../load/measure.ts";
import { WORK_INPUT } from "../load/request.ts";

const [mode, port, first, second] = process.argv.slice(2);
const connection = { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null };
const name = `bench-${process.pid}`;
const queue = new Queue(name, { connection });
await queue.waitUntilReady();

if (mode === "add") {
  const result = await measureAdds(
    () => queue.add("image.generate", WORK_INPUT),
    Number(first),
    Number(second),
  );
  const waiting = await queue.getWaitingCount();
  if (waiting !== result.total) throw new Error(`${waiting} waiting after ${result.total} adds`);
  print(result);
} else {
  const started = new Map();
  const worker = new Worker(
    name,
    async (job) => {
      started.get(job.data.tag)?.(performance.now());
    },
    { connection },
  );
  await worker.waitUntilReady();
  const times = await measurePickup(Number(first), Number(second), async (tag, onStart) => {
    started.set(tag, onStart);
    await queue.add("image.generate", { ...WORK_INPUT, tag });
  });
  print(times);
}
process.exit(0);

function print(result) {
  console.log(`RESULT ${JSON.stringify(result)}`);
}
