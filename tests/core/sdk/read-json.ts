/** Run by faults.test.ts in a process of its own: reads JSON, prints the error and the growth. */
import { BackendError } from "../../../core/sdk/errors.ts";
import { createHttpClient } from "../../../core/sdk/http-client.ts";

const rssMiB = (): number => process.memoryUsage().rss / 1024 ** 2;
// A refused request loads what every first request loads, so that only the answer counts below.
const nobody = createHttpClient({ baseUrl: "http://127.0.0.1:9", title: "Nobody" });
await nobody.get("/").catch(() => {});
const http = createHttpClient({ baseUrl: process.argv[2] ?? "", title: "Server" });
const before = rssMiB();
let peak = before;
const timer = setInterval(() => {
  peak = Math.max(peak, rssMiB());
}, 1);
const error = await http.get("/x").catch((thrown: unknown) => thrown);
clearInterval(timer);
const code = BackendError.is(error) ? error.code : String(error);
process.stdout.write(JSON.stringify({ code, grownMiB: Math.max(peak, rssMiB()) - before }));
