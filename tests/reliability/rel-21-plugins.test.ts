/** REL-21: a plugin that misbehaves harms its own backend or its own job, and nobody else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, type Gateway, RUNTIME, startGateway, temporaryFolder } from "../gateway.ts";
import { fixture, workConfig } from "./plugins.ts";

const hooks = ["health", "late-health", "models", "late-models", "check", "vram", "late-vram"];

describe("REL-21, plugins that misbehave", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    const folder = temporaryFolder();
    const throwers = hooks.map(
      (hook) => `  ${hook}: { use: ${fixture("throws-in-hooks")}, hook: ${hook} }`,
    );
    const more = `  unruly: { use: ${fixture("unruly")} }
  lonely: { use: ${fixture("unruly")} }
  hangs: { use: ${fixture("hangs-at-import")} }
  manifest: { use: ${fixture("bad-manifest")} }
  import: { use: ${fixture("throws-at-import")} }
${throwers.join("\n")}
`;
    const settings = "jobs: { cancel_grace_ms: 200 }\nhealth: { interval_ms: 500 }";
    gateway = await startGateway({ folder, config: workConfig(folder, more, settings) });
  }, 30_000);
  afterAll(() => gateway.remove());

  const backend = async (name: string) => {
    const { data } = await gateway.call("GET", "/backends");
    return data.find((one: any) => one.name === name);
  };
  const submit = async (deed: string, name = "unruly") =>
    (await gateway.call("POST", "/test/unruly", { deed, backend: name })).data.job_id;
  const run = async (deed: string) => gateway.ended(await submit(deed));
  /** Another plugin works, and so does the one that misbehaved. */
  const expectOthersWell = async () => {
    const { data } = await gateway.call("POST", "/test/rerun", { ms: 1 });
    expect((await gateway.ended(data.job_id)).status).toBe("completed");
    expect((await run("well")).status).toBe("completed");
    expect(gateway.child.exitCode).toBeNull();
  };

  for (const [name, reason] of [
    ["hangs", "did not finish loading"],
    ["manifest", "apiVersion is 7"],
    ["import", "this module cannot load"],
    ["health", "health failed"],
  ] as const) {
    test(`${name}: that backend is down and says why`, async () => {
      const { status, reason: told } = await eventually("its state", async () => {
        const found = await backend(name);
        return found.status === "down" && found;
      });
      expect(status).toBe("down");
      expect(told).toContain(reason);
      await expectOthersWell();
    });
  }

  for (const [deed, status] of [
    ["throw", "failed"],
    ["reject", "failed"],
    ["throw-text", "failed"],
    ["late-rejection", "completed"],
    ["late-text", "completed"],
    ["late-timer", "completed"],
    ["late-use", "completed"],
    ["nonsense", "failed"],
    ["circular", "failed"],
    ["flood", "completed"],
  ] as const) {
    test(`${deed}: the job is ${status}, everything else goes on`, async () => {
      const job = await run(deed);
      expect(job.status).toBe(status);
      if (status === "failed") expect(job.error.code).toBe("INTERNAL");
      if (deed === "late-use") {
        await eventually("it is used late", () =>
          gateway.output().includes("used its job too late"),
        );
      }
      await expectOthersWell();
      const { data } = await gateway.call("GET", `/jobs/${job.job_id}`);
      expect([data.seq, data.artifacts]).toEqual([job.seq, job.artifacts]);
    }, 20_000);
  }

  test("an error that a plugin throws where nobody waits is logged with its backend", async () => {
    await run("late-timer");
    await eventually("the log names it", () => /a stray error.*/.test(gateway.output()));
    const lines = gateway.output().split("\n");
    const stray = lines.filter((line) => line.includes("thrown by a timer"));
    expect(stray.length).toBeGreaterThan(0);
    for (const line of stray) expect(line).toMatch(/"backend":"(unruly|lonely)"/);
    await eventually("it is ready again", async () => (await backend("unruly")).status === "ready");
  });

  test("100,000 reports become few events, and the text is whole", async () => {
    const { job_id, seq } = await run("flood");
    expect(seq).toBeLessThan(200);
    const { text } = await gateway.call("GET", `/jobs/${job_id}/events`);
    const deltas = [...text.matchAll(/^data: (.*)$/gm)]
      .map(([, json]) => JSON.parse(json!))
      .filter(({ type }) => type === "job.delta");
    expect(deltas.map(({ data }) => data.text).join("")).toBe("x".repeat(100_000));
  }, 20_000);

  test("a loop that hears no signal is cancelled at once for its client", async () => {
    const id = await submit("loop", "lonely");
    await eventually("it runs", async () => {
      return (await gateway.call("GET", `/jobs/${id}`)).data.status === "running";
    });
    const before = performance.now();
    const { status, data } = await gateway.call("DELETE", `/jobs/${id}`);
    expect([status, data.status]).toEqual([200, "cancelled"]);
    expect(performance.now() - before).toBeLessThan(500);
    await expectOthersWell();
    const next = await submit("well", "lonely");
    expect((await gateway.ended(next)).status).toBe("completed");
  }, 20_000);

  test("a stop that fails does not keep the backend", async () => {
    const id = await submit("deaf-cancel");
    await eventually("it runs", async () => {
      return (await gateway.call("GET", `/jobs/${id}`)).data.status === "running";
    });
    expect((await gateway.call("DELETE", `/jobs/${id}`)).data.status).toBe("cancelled");
    await expectOthersWell();
  });

  for (const hook of ["models", "check", "vram"]) {
    test(`${hook} that throws refuses that request and nothing more`, async () => {
      const answer = await gateway.call("POST", "/test/hooks", { backend: hook, model: "m" });
      expect(answer.status).toBeGreaterThanOrEqual(500);
      expect(answer.json.success).toBe(false);
      await expectOthersWell();
    });
    if (hook === "check") continue;
    test(`${hook} that throws a moment later makes its backend degraded`, async () => {
      const name = `late-${hook}`;
      // Deno forgets who set a timer; the stack then names the first backend of that plugin.
      const blamed = RUNTIME === "bun" ? name : "health";
      const { data } = await gateway.call("POST", "/test/hooks", { backend: name, model: "m" });
      expect((await gateway.ended(data.job_id)).status).toBe("completed");
      await eventually("the log names it", () =>
        gateway.output().includes(`"backend":"${blamed}","error":"${hook} failed late"`),
      );
      await expectOthersWell();
    });
  }
});
