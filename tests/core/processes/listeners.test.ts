/** Who listens on a port. */
import { afterEach, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { listenerPids } from "../../../core/processes/mod.ts";
import { eventually } from "../../gateway.ts";
import { FIXTURES, ON_LINUX } from "./world.ts";

const servers: Server[] = [];
const children: ChildProcess[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  for (const child of children.splice(0)) process.kill(-child.pid!, "SIGKILL");
});

async function listening(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, host, done));
  servers.push(server);
  return (server.address() as { port: number }).port;
}

describe.skipIf(!ON_LINUX)("listenerPids (needs /proc)", () => {
  for (const host of ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::", "::1"]) {
    test(`finds who listens on ${host}`, async () => {
      expect(await listenerPids(await listening(host))).toContain(process.pid);
    });
  }

  test("finds a server's process and what it started", async () => {
    const port = await listening("127.0.0.1");
    await new Promise((done) => servers.pop()!.close(done));
    // The shell does not listen; the server does, and the sleep is the server's child.
    const server = join(FIXTURES, "server.ts");
    const line = `"$0" "${server}" ${port} 0 child & wait`;
    const child = spawn("/bin/sh", ["-c", line, process.execPath], { detached: true });
    children.push(child);
    const pids = await eventually("it listens", async () => {
      const found = await listenerPids(port);
      return found.length > 1 && found;
    });
    const commands = pids.map((pid) => readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0"));
    expect(commands.map(([, first]) => first).sort()).toEqual([server, "300"].sort());
    expect(pids).not.toContain(child.pid!);
    expect(pids).not.toContain(process.pid);
  });

  test("knows nobody on a port where nobody listens, and none for what is no port", async () => {
    const port = await listening("127.0.0.1");
    await new Promise((done) => servers.pop()!.close(done));
    expect(await listenerPids(port)).toEqual([]);
    expect(await listenerPids(-1)).toEqual([]);
    expect(await listenerPids(Number.NaN)).toEqual([]);
  });
});
