/** What a systemd unit and a container have in common: a tool starts it, and a record remembers. */
import { dockerVerbs } from "./docker.ts";
import type { Driver } from "./driver.ts";
import { fingerprintOf } from "./settings.ts";
import { systemdVerbs } from "./systemd.ts";
import type { ToolDriverOptions } from "./tool.ts";

export function createToolDriver(options: ToolDriverOptions): Driver {
  const { backend, run, records } = options;
  const fingerprint = fingerprintOf(run);
  const verbs = run.kind === "systemd" ? systemdVerbs(run, options) : dockerVerbs(run, options);
  const note = (ready: boolean) =>
    records.write(backend, { kind: "tool", fingerprint, ready, run });
  const own = () => records.read(backend)?.fingerprint === fingerprint;

  return {
    ...verbs,
    async launch(signal) {
      // First the note: a unit that is started and not noted would outlive its configuration.
      note(false);
      await verbs.launch(signal);
    },
    async end() {
      await verbs.end();
      if (own()) records.remove(backend);
    },
    async adopt() {
      const record = records.read(backend);
      const sight = await verbs.look();
      if (sight.kind === "running") return { ready: own() && record?.ready === true };
      if (own()) records.remove(backend);
      return undefined;
    },
    markReady() {
      // Only of what this gateway or one before it started.
      if (own()) note(true);
    },
    owned: own,
    tend: () => Promise.resolve(),
    onExit() {},
  };
}
