/** A backend as a Docker container that exists already; it is started and stopped, never made. */

import { descendantsOf, readTable } from "../sdk/processes/table.ts";
import type { Driver, Sight } from "./driver.ts";
import type { Run } from "./settings.ts";
import { ProcessError } from "./state.ts";
import { linesOf, runTool, type ToolDriverOptions } from "./tool.ts";

const KILL_TIMEOUT_MS = 15_000;

interface ContainerState {
  readonly running: boolean;
  readonly pid: number;
  readonly code: number;
  readonly outOfMemory: boolean;
}

type Verbs = Pick<Driver, "look" | "launch" | "end" | "pids" | "lastLines" | "holdsPort">;

export function dockerVerbs(
  { container }: Extract<Run, { kind: "docker" }>,
  { backend, readyTimeoutMs, stopTimeoutMs }: ToolDriverOptions,
): Verbs {
  async function inspect(): Promise<ContainerState> {
    const argv = ["docker", "inspect", "--type", "container", "-f", "{{json .State}}", container];
    const { stdout } = await runTool(backend, "not_started", argv);
    const state = parsed(stdout);
    if (state) return state;
    const text = `${backend}: docker inspect of "${container}" gave no state. Try it by hand.`;
    throw new ProcessError("not_started", text);
  }

  return {
    // A published port is held by Docker's proxy, which is no process of the container.
    holdsPort: false,
    async look(): Promise<Sight> {
      const { running, pid, code, outOfMemory } = await inspect();
      if (running) return { kind: "running", ...(pid > 0 ? { pid } : {}) };
      return { kind: "gone", exit: { code, ...(outOfMemory ? { signal: "SIGKILL" } : {}) } };
    },
    async launch(signal) {
      await runTool(backend, "not_started", ["docker", "start", container], readyTimeoutMs, signal);
    },
    async end() {
      if (!(await inspect()).running) return;
      const seconds = String(Math.max(1, Math.ceil(stopTimeoutMs / 1000)));
      const stop = ["docker", "stop", "-t", seconds, container];
      await runTool(backend, "not_stopped", stop, stopTimeoutMs + KILL_TIMEOUT_MS).catch(
        () => undefined,
      );
      if (!(await inspect()).running) return;
      await runTool(backend, "not_stopped", ["docker", "kill", container], KILL_TIMEOUT_MS);
      if ((await inspect()).running) {
        const text = `${backend}: the container "${container}" runs on after stop and kill. See \`docker ps\`.`;
        throw new ProcessError("not_stopped", text);
      }
    },
    async pids() {
      const { running, pid } = await inspect();
      if (!running) return [];
      // Numbers of the host, also where the container has its own.
      const { stdout } = await runTool(backend, "not_started", [
        ...["docker", "top", container],
        ...["-eo", "pid"],
      ]);
      const pids = new Set(
        stdout
          .split("\n")
          .map(Number)
          .filter((number) => number > 1),
      );
      if (pid > 1) pids.add(pid);
      for (const below of descendantsOf(await readTable(), pids)) pids.add(below);
      return [...pids];
    },
    lastLines: (count) => linesOf(["docker", "logs", "--tail", String(count), container], count),
  };
}

function parsed(text: string): ContainerState | undefined {
  try {
    const state = JSON.parse(text) as Record<string, unknown>;
    return {
      running: state.Running === true,
      pid: Number(state.Pid ?? 0),
      code: Number(state.ExitCode ?? 0),
      outOfMemory: state.OOMKilled === true,
    };
  } catch {
    return undefined;
  }
}
