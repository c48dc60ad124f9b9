/** A backend as a systemd unit, of the system or of the gateway's user. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { descendantsOf, readTable } from "../sdk/processes/table.ts";
import type { Driver, Sight } from "./driver.ts";
import type { Run } from "./settings.ts";
import { ProcessError } from "./state.ts";
import { linesOf, runTool, type ToolDriverOptions } from "./tool.ts";

/** The unified hierarchy, and systemd's own where there are several. */
const CGROUP_ROOTS = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
const PROPERTIES = "LoadState,ActiveState,SubState,MainPID,ControlGroup,ExecMainStatus";
const KILL_TIMEOUT_MS = 10_000;

type Verbs = Pick<Driver, "look" | "launch" | "end" | "pids" | "lastLines" | "holdsPort">;

export function systemdVerbs(
  run: Extract<Run, { kind: "systemd" }>,
  { backend, readyTimeoutMs, stopTimeoutMs }: ToolDriverOptions,
): Verbs {
  const { unit } = run;
  const scope = run.user ? ["--user"] : [];
  const systemctl = (verb: string, ...rest: string[]) => ["systemctl", ...scope, verb, ...rest];

  async function show(): Promise<Record<string, string>> {
    const argv = systemctl("show", "-p", PROPERTIES, "--", unit);
    const { stdout } = await runTool(backend, "not_started", argv);
    const found = Object.fromEntries(
      stdout.split("\n").map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1).trim()];
      }),
    );
    if (found.LoadState === "not-found") {
      const text = `${backend}: systemd knows no unit "${unit}". Check process.systemd, and whether it is a user's unit.`;
      throw new ProcessError("not_started", text);
    }
    return found;
  }

  async function pidsOf(found: Record<string, string>): Promise<number[]> {
    const pids = new Set<number>();
    const main = Number(found.MainPID);
    if (main > 1) pids.add(main);
    const group = found.ControlGroup ?? "";
    if (group !== "" && group !== "/") {
      for (const root of CGROUP_ROOTS)
        for (const pid of await pidsIn(join(root, group))) pids.add(pid);
    }
    if (pids.size > 0) for (const pid of descendantsOf(await readTable(), pids)) pids.add(pid);
    return [...pids];
  }

  return {
    holdsPort: true,
    async look(): Promise<Sight> {
      const found = await show();
      if (runs(found)) {
        const pid = Number(found.MainPID);
        return { kind: "running", ...(pid > 0 ? { pid } : {}) };
      }
      const code = Number(found.ExecMainStatus ?? "");
      return { kind: "gone", exit: found.ExecMainStatus ? { code } : {} };
    },
    async launch(signal) {
      // Blocks until a unit of Type=notify says that it is ready.
      await runTool(backend, "not_started", systemctl("start", "--", unit), readyTimeoutMs, signal);
    },
    async end() {
      const argv = systemctl("stop", "--", unit);
      const refused = await runTool(backend, "not_stopped", argv, stopTimeoutMs).catch((e) => e);
      if (!(refused instanceof ProcessError) && !runs(await show())) return;
      const kill = systemctl("kill", "-s", "SIGKILL", "--", unit);
      await runTool(backend, "not_stopped", kill, KILL_TIMEOUT_MS).catch(() => undefined);
      await runTool(backend, "not_stopped", argv, KILL_TIMEOUT_MS);
      if (runs(await show())) {
        const text = `${backend}: the unit ${unit} is still active after stop and SIGKILL. See \`systemctl status\`.`;
        throw new ProcessError("not_stopped", text);
      }
    },
    pids: async () => pidsOf(await show()),
    lastLines: (count) =>
      linesOf(
        ["journalctl", ...scope, "-u", unit, "-n", String(count), "--no-pager", "-o", "cat"],
        count,
      ),
  };
}

function runs({ ActiveState, SubState }: Record<string, string>): boolean {
  if (ActiveState === "deactivating") return true;
  // It has died, and systemd waits to start it again.
  if (SubState === "auto-restart") return false;
  return ["active", "activating", "reloading", "refreshing"].includes(ActiveState ?? "");
}

async function pidsIn(folder: string): Promise<number[]> {
  const text = await readFile(join(folder, "cgroup.procs"), "utf8").catch(() => "");
  const below = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const deeper = await Promise.all(
    below.filter((entry) => entry.isDirectory()).map(({ name }) => pidsIn(join(folder, name))),
  );
  return [
    ...text
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 1),
    ...deeper.flat(),
  ];
}
