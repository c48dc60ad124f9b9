/** Jobs that need no device: they wait only until one of their backends has a free slot. */
import type { Server } from "./ledger.ts";

export interface DevicelessJob {
  readonly id: string;
  readonly servers: readonly Server[];
  /** Higher goes first. */
  readonly priority: number;
  /** Called once; the server's slot is taken. */
  readonly start: (server: Server) => void;
}

export interface DevicelessQueue {
  add(job: DevicelessJob): void;
  remove(job: DevicelessJob): void;
  /** Starts whatever can start. */
  reconsider(): void;
  /** Jobs of the same backends that go before it. */
  ahead(job: DevicelessJob): number;
  readonly size: number;
}

export function createDevicelessQueue(): DevicelessQueue {
  /** In the order in which they go, by their backends: one blocked list costs nothing to skip. */
  const lists = new Map<string, DevicelessJob[]>();
  const nameOf = ({ servers }: DevicelessJob): string => servers.map(({ name }) => name).join(" ");
  let size = 0;

  return {
    get size() {
      return size;
    },
    add(job) {
      const name = nameOf(job);
      const list = lists.get(name) ?? [];
      lists.set(name, list);
      let index = list.length;
      while (index > 0 && (list[index - 1]?.priority ?? 0) < job.priority) index--;
      list.splice(index, 0, job);
      size++;
    },
    remove(job) {
      const name = nameOf(job);
      const list = lists.get(name) ?? [];
      const index = list.indexOf(job);
      if (index < 0) return;
      list.splice(index, 1);
      size--;
      if (list.length === 0) lists.delete(name);
    },
    reconsider() {
      for (const list of [...lists.values()]) {
        for (;;) {
          const [job] = list;
          const server = job && leastBusy(job.servers);
          if (!job || !server) break;
          this.remove(job);
          server.running++;
          job.start(server);
        }
      }
    },
    ahead: (job) => Math.max(0, (lists.get(nameOf(job)) ?? []).indexOf(job)),
  };
}

function leastBusy(servers: readonly Server[]): Server | undefined {
  let found: Server | undefined;
  for (const server of servers) {
    if (!server.available || server.running >= server.slots) continue;
    if (!found || server.running / server.slots < found.running / found.slots) found = server;
  }
  return found;
}
