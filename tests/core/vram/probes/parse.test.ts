/** What the probes read out of the tools' outputs; tests/fixtures/probes says where those are from. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isCalled, type MeasuredDevice } from "../../../../core/vram/probes/measured.ts";
import { parseAmdSmi } from "../../../../core/vram/probes/parse-amd-smi.ts";
import { parseCommandLine } from "../../../../core/vram/probes/parse-command.ts";
import { parseNvidia } from "../../../../core/vram/probes/parse-nvidia.ts";
import { parseRocmSmi } from "../../../../core/vram/probes/parse-rocm-smi.ts";
import { createSplitter } from "../../../../core/vram/probes/splitter.ts";

const FOLDER = join(import.meta.dir, "../../../fixtures/probes");
const fixture = (name: string): string => readFileSync(join(FOLDER, name), "utf8");

function devices(parsed: ReturnType<typeof parseNvidia>): readonly MeasuredDevice[] {
  if (parsed.kind !== "devices") throw new Error(parsed.reason);
  return parsed.devices;
}

describe("nvidia-smi", () => {
  test("counts what the driver keeps as used, and a process that computes and draws once", () => {
    const [first] = devices(parseNvidia(fixture("nvidia-two-cards.xml")));
    expect(first).toEqual({
      index: 0,
      uuid: "GPU-00000000-aaaa-bbbb-cccc-000000000001",
      busId: "00000000:09:00.0",
      product: "NVIDIA GeForce RTX 3090",
      memory: { kind: "known", totalMiB: 24576, usedMiB: 9456 },
      utilisation: 0.37,
      processes: [
        { pid: 4242, usedMiB: 8192, name: "/opt/comfy & co/python3" },
        { pid: 900, usedMiB: 811, name: "/usr/lib/xorg/Xorg" },
      ],
    });
  });

  test("an empty list beside much used memory means that processes are hidden", () => {
    const [, second] = devices(parseNvidia(fixture("nvidia-two-cards.xml")));
    expect(second?.memory).toEqual({ kind: "known", totalMiB: 24576, usedMiB: 12000 });
    expect(second?.processes).toBeUndefined();
  });

  test("an empty list on an idle card means that nobody is there", () => {
    const idle = fixture("nvidia-two-cards.xml").replace("12576 MiB", "24560 MiB");
    expect(devices(parseNvidia(idle))[1]?.processes).toEqual([]);
  });

  test("under MIG the whole card is measured, and a process in two instances is one", () => {
    const [card] = devices(parseNvidia(fixture("nvidia-mig.xml")));
    expect(card?.memory).toEqual({ kind: "known", totalMiB: 81920, usedMiB: 3920 });
    expect(card?.processes).toEqual([{ pid: 77, usedMiB: 3000, name: "train" }]);
  });

  test("under WDDM the totals are known and the processes are not", () => {
    const [card] = devices(parseNvidia(fixture("nvidia-wddm.xml")));
    expect(card?.memory).toEqual({ kind: "known", totalMiB: 24564, usedMiB: 2300 });
    expect(card?.processes).toBeUndefined();
  });

  test("a lost card and one without memory of its own say why", () => {
    const [lost, shared] = devices(parseNvidia(fixture("nvidia-lost.xml")));
    expect(lost?.uuid).toBeUndefined();
    expect(lost?.memory).toMatchObject({ reason: expect.stringContaining('"GPU is lost"') });
    expect(shared?.memory).toMatchObject({ reason: expect.stringContaining("probe: none") });
  });

  test.each(["[N/A]", "[Not Found]", "[Insufficient Permissions]", "[Unknown Error]", "-5 MiB"])(
    "memory that reads %s is unknown, not zero",
    (text) => {
      const xml = fixture("nvidia-mig.xml").replace("81920 MiB", text);
      expect(devices(parseNvidia(xml))[0]?.memory.kind).toBe("unknown");
    },
  );

  test("a document with CRLF reads the same", () => {
    const xml = fixture("nvidia-two-cards.xml");
    expect(parseNvidia(xml.replaceAll("\n", "\r\n"))).toEqual(parseNvidia(xml));
  });

  test("an interrupted document before a whole one does no harm", () => {
    const xml = fixture("nvidia-two-cards.xml");
    expect(parseNvidia(xml.slice(0, 900) + xml)).toEqual(parseNvidia(xml));
  });

  test("cut, crossed and empty text is unreadable and never throws", () => {
    const xml = fixture("nvidia-two-cards.xml");
    const broken = [
      "",
      "garbage",
      xml.slice(0, -40),
      xml.replace("</gpu>", "</cpu>"),
      "<nvidia_smi_log><",
    ];
    for (const text of broken) expect(parseNvidia(text).kind).toBe("unreadable");
  });
});

describe("AMD", () => {
  const metric = fixture("amd-smi-metric.json");
  const processes = fixture("amd-smi-process.json");
  const list = fixture("amd-smi-list.json");

  test("amd-smi tells memory, names and processes of each card", () => {
    const [first, second, third] = devices(parseAmdSmi({ metric, processes, list }));
    expect(first).toEqual({
      index: 0,
      uuid: "75ff75a3-0000-1000-8000-000000000001",
      busId: "0000:05:00.0",
      memory: { kind: "known", totalMiB: 196288, usedMiB: 2531 },
      utilisation: 0.25,
      processes: [
        { pid: 28389, usedMiB: 2353860608 / 2 ** 20, name: "llama-server" },
        { pid: 7, usedMiB: 1 },
      ],
    });
    expect(second).toMatchObject({ memory: { totalMiB: 32624, usedMiB: 57 }, processes: [] });
    expect(third?.memory.kind).toBe("unknown");
    expect(third?.processes).toBeUndefined();
  });

  test("amd-smi without its process list still tells the memory", () => {
    const [first] = devices(parseAmdSmi({ metric }));
    expect(first?.memory.kind).toBe("known");
    expect(first?.processes).toBeUndefined();
    expect(parseAmdSmi({ metric: "ERROR: no driver" }).kind).toBe("unreadable");
  });

  test("rocm-smi is read behind its warnings, with a comma in a process' name", () => {
    expect(devices(parseRocmSmi(fixture("rocm-smi.json")))).toEqual([
      {
        index: 0,
        uuid: "0x3a1f6e2b9c4d5e6f",
        busId: "0000:07:00.0",
        product: "Navi 22 [Radeon RX 6700 XT]",
        memory: { kind: "known", totalMiB: 12272, usedMiB: 1500 },
        utilisation: 0.5,
        processes: [{ pid: 28389, usedMiB: 1000, name: "python, the second" }],
      },
    ]);
  });

  test("rocm-smi does not say which of two cards a process is on, so nobody is believed", () => {
    const json = JSON.parse(fixture("rocm-smi.json").slice(fixture("rocm-smi.json").indexOf("{")));
    const parsed = parseRocmSmi(JSON.stringify({ ...json, card1: json.card0 }));
    expect(devices(parsed).map((card) => card.processes)).toEqual([undefined, undefined]);
    expect(parseRocmSmi("{}").kind).toBe("unreadable");
  });
});

describe("an own command's line", () => {
  test("is a reading", () => {
    const line =
      '{"total_mib":24576,"used_mib":1234,"processes":[{"pid":1,"used_mib":100,"name":"x"}]}';
    expect(parseCommandLine(line)).toEqual({
      kind: "reading",
      reading: { totalMiB: 24576, usedMiB: 1234, processes: [{ pid: 1, usedMiB: 100, name: "x" }] },
    });
  });

  test.each([
    ["hello", "not JSON"],
    ["[]", "not a JSON object"],
    ['{"total_mib":0,"used_mib":0}', "total_mib"],
    ['{"total_mib":10,"used_mib":11}', "used_mib"],
    ['{"total_mib":"10","used_mib":1}', "total_mib"],
    ['{"total_mib":10,"used_mib":1,"used_mb":1}', "used_mb"],
    ['{"total_mib":10,"used_mib":1,"processes":[{"pid":-1,"used_mib":1}]}', "pid"],
    ['{"total_mib":10,"used_mib":1,"utilisation":40}', "utilisation"],
  ])("%s is refused with the reason", (line, reason) => {
    expect(parseCommandLine(line)).toMatchObject({ reason: expect.stringContaining(reason) });
  });
});

test("an id may be an index, a UUID or a bus id in any of its spellings", () => {
  const [card] = devices(parseNvidia(fixture("nvidia-two-cards.xml")));
  const called = (id: string): boolean => card !== undefined && isCalled(card, id);
  const right = ["0", "gpu-00000000-AAAA-bbbb-cccc-000000000001", "0000:09:00.0", "09:00.0"];
  expect(right.filter(called)).toEqual(right);
  expect(["1", "GPU-00000000", "0001:09:00.0", ""].filter(called)).toEqual([]);
});

test("a stream is cut behind its end marks, however its chunks are cut", () => {
  const text = "a</x>bb</x>c";
  for (let size = 1; size <= text.length; size++) {
    const splitter = createSplitter("</x>", 100);
    const chunks = text.match(new RegExp(`.{1,${size}}`, "g")) ?? [];
    expect(chunks.flatMap((chunk) => splitter.push(chunk))).toEqual(["a</x>", "bb</x>"]);
    expect(splitter.rest()).toBe("c");
  }
  const bounded = createSplitter("\n", 10);
  bounded.push("x".repeat(1000));
  expect(bounded.rest().length).toBeLessThan(11);
});
