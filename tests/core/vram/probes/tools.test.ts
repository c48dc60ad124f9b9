/** The probes against stand-in tools: what they see, and what they say when a tool misbehaves. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Probe } from "../../../../core/vram/probes/mod.ts";
import { eventually } from "../../../gateway.ts";
import { type Bench, createBench, isAlive, LOOP, nvidiaXml } from "./bench.ts";

let bench: Bench;
beforeEach(() => {
  bench = createBench();
});
afterEach(() => bench.close());

const ONE = nvidiaXml([{ uuid: "GPU-1", usedMiB: 100 }]);
const TWO = nvidiaXml([
  { uuid: "GPU-1", usedMiB: 100 },
  { uuid: "GPU-2", usedMiB: 200 },
]);

function usedMiB(probe: Probe | undefined): number | undefined {
  const state = probe?.state();
  return state?.kind === "reading" ? state.reading.usedMiB : undefined;
}

function reasonOf(probe: Probe | undefined): string | undefined {
  const state = probe?.state();
  return state?.kind === "missing" ? state.reason : undefined;
}

const becomes = (probe: Probe | undefined, mib: number): Promise<unknown> =>
  eventually(`${mib} MiB are seen`, () => usedMiB(probe) === mib);

const says = (probe: Probe | undefined, words: string): Promise<unknown> =>
  eventually(`the reason has "${words}"`, () => reasonOf(probe)?.includes(words));

describe("nvidia-smi", () => {
  test("is one process for eight devices, and none after the last close", async () => {
    const cards = Array.from({ length: 8 }, (_, i) => ({ uuid: `GPU-${i}`, usedMiB: i * 10 }));
    bench.write("now", nvidiaXml(cards));
    bench.tool("nvidia-smi", LOOP);
    const devices = Object.fromEntries(cards.map((_, i) => [`gpu${i}`, {}]));
    const probes = [...(await bench.open(devices)).values()];
    expect(probes.map(usedMiB)).toEqual([0, 10, 20, 30, 40, 50, 60, 70]);
    expect(bench.started()).toHaveLength(1);
    const [pid = 0] = bench.started();
    for (const probe of probes.slice(1)) await probe.close();
    expect(isAlive(pid)).toBe(true);
    await probes[0]?.close();
    expect(isAlive(pid)).toBe(false);
    expect(reasonOf(probes[0])).toBe("the probe is closed");
  });

  test("a fresh reading was taken after the question", async () => {
    bench.write("now", ONE);
    bench.tool("nvidia-smi", LOOP);
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    for (let round = 1; round <= 5; round++) {
      bench.write("now", nvidiaXml([{ uuid: "GPU-1", usedMiB: round * 7 }]));
      const reading = await probe?.fresh(AbortSignal.timeout(10_000));
      expect(reading?.usedMiB).toBe(round * 7);
    }
  });

  test("a question ends with its signal", async () => {
    bench.tool("nvidia-smi", "sleep 60");
    const probe = (await bench.open({ gpu: {} }, { openMs: 10 })).get("gpu");
    const asked = new AbortController();
    const answer = probe?.fresh(asked.signal).catch((error) => error);
    asked.abort(new Error("the job was cancelled"));
    expect((await answer)?.message).toBe("the job was cancelled");
  });

  test("every new state is told, until one stops listening", async () => {
    bench.write("now", ONE);
    bench.tool("nvidia-smi", LOOP);
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    let told = 0;
    const stop = probe?.onChange(() => {
      told++;
      throw new Error("a listener's own fault");
    });
    await eventually("three states", () => told >= 3);
    stop?.();
    const before = told;
    await probe?.fresh(AbortSignal.timeout(10_000));
    expect(told).toBe(before);
  });

  test("devices are found by UUID, bus id, index or their order", async () => {
    bench.write("now", nvidiaXml([1, 2, 3, 4].map((i) => ({ uuid: `GPU-${i}`, usedMiB: i }))));
    bench.tool("nvidia-smi", LOOP);
    const probes = await bench.open({
      ordered: {},
      uuid: { id: "GPU-1" },
      bus: { id: "0000:02:00.0" },
      index: { id: "1" },
      twin: { id: "GPU-1" },
      absent: { id: "GPU-9" },
      beyond: {},
    });
    const seen = ["ordered", "uuid", "bus", "index"].map((name) => usedMiB(probes.get(name)));
    expect(seen).toEqual([4, 1, 3, 2]);
    expect(reasonOf(probes.get("twin"))).toContain('already the device "uuid"');
    expect(reasonOf(probes.get("absent"))).toContain('no device "GPU-9"; it lists GPU-1, GPU-2');
    expect(reasonOf(probes.get("beyond"))).toContain("no further device");
  });

  test("a device that vanishes is missing, is not mistaken for its neighbour, and comes back", async () => {
    bench.write("now", TWO);
    bench.tool("nvidia-smi", LOOP);
    const probes = await bench.open({ a: { id: "0" }, b: {} });
    const [a, b] = [probes.get("a"), probes.get("b")];
    bench.write("now", nvidiaXml([{ uuid: "GPU-2", usedMiB: 222 }]));
    await says(a, "GPU-1 vanished; nvidia-smi lists GPU-2");
    await becomes(b, 222);
    bench.write("now", TWO);
    await becomes(a, 100);
  });

  test("processes that the driver does not tell are undefined", async () => {
    bench.write("now", ONE.replace("<used_memory>100 MiB", "<used_memory>N/A"));
    bench.tool("nvidia-smi", LOOP);
    const state = (await bench.open({ gpu: {} })).get("gpu")?.state();
    expect(state).toMatchObject({ kind: "reading", reading: { usedMiB: 100 } });
    expect(state?.kind === "reading" && state.reading.processes).toBeUndefined();
  });

  test("CRLF and a block that arrives in two chunks are read", async () => {
    const text = ONE.replaceAll("\n", "\r\n");
    bench.write("head", text.slice(0, 150));
    bench.write("tail", text.slice(150));
    bench.tool("nvidia-smi", "while :; do cat $FOLDER/head; sleep 0.05; cat $FOLDER/tail; done");
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    await becomes(probe, 100);
    expect(bench.warnings).toEqual([]);
  });

  test("a tool that is not installed is said, and found once it is", async () => {
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    expect(reasonOf(probe)).toBe("nvidia-smi is not installed (not found on PATH)");
    const error = await probe?.fresh(AbortSignal.timeout(10_000)).catch((it) => it);
    expect(`${error}`).toContain("not installed");
    bench.write("now", ONE);
    bench.tool("nvidia-smi", LOOP);
    await becomes(probe, 100);
  });

  test("a driver that does not answer is said in its words, and believed when it is back", async () => {
    bench.write("now", ONE);
    bench.tool(
      "nvidia-smi",
      `[ -e $FOLDER/up ] || { echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."; exit 9; }\n${LOOP}`,
    );
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    expect(reasonOf(probe)).toContain("ended with code 9: NVIDIA-SMI has failed");
    expect(bench.warnings).toHaveLength(1);
    bench.write("up", "");
    await becomes(probe, 100);
  });

  test("a process that dies is started again", async () => {
    bench.write("now", ONE);
    bench.tool("nvidia-smi", LOOP);
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    process.kill(bench.started()[0] ?? 0, "SIGKILL");
    await eventually("a second process", () => bench.started().length === 2);
    await becomes(probe, 100);
    expect(bench.started().filter(isAlive)).toHaveLength(1);
  });

  test("a process that hangs is killed and started again; its old reading is not believed", async () => {
    bench.write("now", ONE);
    bench.tool(
      "nvidia-smi",
      "echo $$ >> $FOLDER/started\ncat $FOLDER/now\n[ -e $FOLDER/up ] || sleep 60\nwhile :; do cat $FOLDER/now; sleep 0.03; done",
    );
    const limits = { staleMs: 400, firstMs: 5_000 };
    const probe = (await bench.open({ gpu: {} }, limits)).get("gpu");
    expect(usedMiB(probe)).toBe(100);
    await eventually("it is not believed", () => reasonOf(probe));
    bench.write("up", "");
    await eventually("another process", () => bench.started().length >= 2);
    await becomes(probe, 100);
    await eventually("one lives", () => bench.started().filter(isAlive).length === 1);
  });

  test("garbage is reported once, and over when the tool is sane", async () => {
    bench.write("now", "<nvidia_smi_log><gpu></nvidia_smi_log>\n");
    bench.tool("nvidia-smi", LOOP);
    const probe = (await bench.open({ gpu: {} })).get("gpu");
    expect(reasonOf(probe)).toContain("unreadable");
    let told = 0;
    probe?.onChange(() => told++);
    await eventually("more garbage", () => told >= 3);
    // One line of the tool, one of the device.
    expect(bench.warnings).toHaveLength(2);
    bench.write("now", ONE);
    await becomes(probe, 100);
  });

  test("one prefix reaches another host, with a process of its own", async () => {
    bench.write("now", ONE);
    bench.tool("nvidia-smi", LOOP);
    bench.tool("far", `PATH=$FOLDER:$PATH\nshift\nexec "$@"`);
    const probes = await bench.open({ here: {}, there: { via: ["far", "studio2"] } });
    await becomes(probes.get("here"), 100);
    await becomes(probes.get("there"), 100);
    expect(bench.started()).toHaveLength(2);
  });
});

describe("auto", () => {
  const ROCM =
    '{"card0":{"VRAM Total Memory (B)":"1048576000","VRAM Total Used Memory (B)":"104857600"}}';

  test("takes nvidia-smi, together with devices that name it", async () => {
    bench.write("now", TWO);
    bench.tool("nvidia-smi", LOOP);
    const probes = await bench.open({ a: { probe: "auto" }, b: { probe: "nvidia-smi" } });
    expect([...probes].map(([name, it]) => [name, it.kind, usedMiB(it)])).toEqual([
      ["a", "nvidia-smi", 100],
      ["b", "nvidia-smi", 200],
    ]);
    expect(bench.started()).toHaveLength(1);
  });

  test("goes on to amd-smi and rocm-smi, and looks on", async () => {
    bench.write("now", ROCM);
    bench.tool("rocm-smi", "cat $FOLDER/now");
    const probe = (await bench.open({ gpu: { probe: "auto" } })).get("gpu");
    expect([probe?.kind, usedMiB(probe)]).toEqual(["rocm-smi", 100]);
    bench.write("now", ROCM.replace('"104857600"', '"209715200"'));
    expect((await probe?.fresh(AbortSignal.timeout(10_000)))?.usedMiB).toBe(200);
  });

  test("reads amd-smi with names and processes", async () => {
    bench.tool(
      "amd-smi",
      `case "$1" in
metric) echo '{"gpu_data":[{"gpu":0,"mem_usage":{"total_vram":{"value":1000,"unit":"MB"},"used_vram":{"value":10,"unit":"MB"}}}]}';;
list) echo '[{"gpu":0,"uuid":"uuid-1","bdf":"0000:05:00.0"}]';;
process) echo '[{"gpu":0,"process_list":[{"process_info":{"pid":7,"name":"x","mem_usage":{"value":1048576,"unit":"B"}}}]}]';;
esac`,
    );
    const probe = (await bench.open({ gpu: { probe: "auto", id: "0000:05:00.0" } })).get("gpu");
    expect(probe?.state()).toMatchObject({
      kind: "reading",
      reading: { uuid: "uuid-1", usedMiB: 10, processes: [{ pid: 7, usedMiB: 1, name: "x" }] },
    });
  });

  test("without any tool the device is only declared, and says what was tried", async () => {
    const probe = (await bench.open({ gpu: { probe: "auto", memoryMiB: 1 } })).get("gpu");
    expect(probe?.kind).toBe("declared");
    for (const tool of ["nvidia-smi", "amd-smi", "rocm-smi"]) {
      expect(reasonOf(probe)).toContain(`${tool} is not installed`);
    }
  });

  test("a tool that is there but fails is kept, because a driver comes back", async () => {
    bench.write("now", ONE);
    bench.tool("nvidia-smi", `[ -e $FOLDER/up ] || exit 9\n${LOOP}`);
    const probe = (await bench.open({ gpu: { probe: "auto" } })).get("gpu");
    expect(probe?.kind).toBe("nvidia-smi");
    bench.write("up", "");
    await becomes(probe, 100);
  });

  test("a device declared without a probe is missing and asks nobody", async () => {
    const probe = (await bench.open({ gpu: { probe: "none" } })).get("gpu");
    expect([probe?.kind, reasonOf(probe)]).toEqual(["declared", "no probe"]);
    const error = await probe?.fresh(AbortSignal.timeout(10_000)).catch((it) => it);
    expect(error?.message).toBe("no probe");
    expect(bench.warnings).toEqual([]);
  });
});

describe("an own command", () => {
  const LINE = '{"total_mib":1000,"used_mib":10}';

  test("that stays is read line by line, and ends with all its children", async () => {
    bench.write("now", `${LINE}\n`);
    bench.tool("mine", `sleep 60 &\necho $! >> $FOLDER/started\n${LOOP}`);
    const probe = (await bench.open({ gpu: { command: ["mine"] } })).get("gpu");
    expect([probe?.kind, usedMiB(probe)]).toEqual(["command", 10]);
    bench.write("now", `${LINE.replace(":10}", ":20}")}\n`);
    expect((await probe?.fresh(AbortSignal.timeout(10_000)))?.usedMiB).toBe(20);
    // The script, and a child of it that only its group reaches.
    expect(bench.started()).toHaveLength(2);
    await probe?.close();
    await eventually("nobody is left", () => !bench.started().some(isAlive));
  });

  test("that prints once is run again, also when its line has no end", async () => {
    bench.write("now", LINE);
    bench.tool("mine", "echo $$ >> $FOLDER/started\ncat $FOLDER/now");
    const probe = (await bench.open({ gpu: { command: ["mine"] } })).get("gpu");
    await becomes(probe, 10);
    bench.write("now", LINE.replace(":10}", ":30}"));
    await becomes(probe, 30);
    expect(bench.warnings).toEqual([]);
  });

  test("that prints bad lines is reported once", async () => {
    bench.write("now", '{"total_mib":1000,"used_mb":10}\n');
    bench.tool("mine", LOOP);
    const probe = (await bench.open({ gpu: { command: ["mine"] } })).get("gpu");
    await says(probe, '"used_mb" is unknown');
    let told = 0;
    probe?.onChange(() => told++);
    await eventually("more bad lines", () => told >= 3);
    expect(bench.warnings.filter((line) => line.includes("bad line"))).toHaveLength(2);
  });
});
