/** Sounds in the format that was asked for, through a real gateway: to the end, cancelled, killed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { eventually, type Gateway, RUNTIME, startGateway, temporaryFolder } from "../gateway.ts";

const BAND = resolve(import.meta.dir, "..", "fixtures", "plugins", "band", "plugin.ts");
const HAS_FFMPEG = spawnSync("ffmpeg", ["-version"]).status === 0;
const FORMATS = ["mp3", "flac", "opus", "ogg"] as const;

const ready = (gateway: Gateway) =>
  eventually("all are ready", async () => {
    const { data } = await gateway.call("GET", "/backends");
    return data.every(({ status }: any) => status === "ready");
  });

describe.skipIf(!HAS_FFMPEG)(`formats on ${RUNTIME}${HAS_FFMPEG ? "" : " (needs ffmpeg)"}`, () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      config: `backends:\n  espeak: { use: espeak }\n  band: { use: "${BAND}" }\n`,
    });
    await ready(gateway);
  });
  afterAll(() => gateway.remove());

  test("speech comes in every format, with its length and without a trace of the text", async () => {
    const types: Record<string, string> = { mp3: "audio/mpeg", flac: "audio/flac" };
    for (const format of FORMATS) {
      const request = { text: "Change at Crewe.", format };
      const { data } = await gateway.call("POST", "/tts", request, {
        headers: { prefer: "wait=30" },
      });
      expect(data.status).toBe("completed");
      const [artifact, ...others] = data.output.artifacts;
      expect(others).toEqual([]);
      expect(artifact).toMatchObject({
        name: `speech.${format}`,
        media_type: types[format] ?? "audio/ogg",
        metadata: { converted_from: "wav", voice: "English (America)" },
      });
      const file = await fetch(gateway.url + artifact.url, {
        headers: { "x-api-key": gateway.key },
      });
      const bytes = Buffer.from(await file.arrayBuffer());
      expect(bytes.length).toBe(artifact.size_bytes);
      expect(bytes.includes("Crewe")).toBe(false);
    }
    expect(readdirSync(join(gateway.folder, "data", "conversion"))).toEqual([]);
  });

  test("the job says that it collects, and what is being made", async () => {
    const { data } = await gateway.call("POST", "/tts", { text: "Hello", format: "mp3" });
    const job = await gateway.ended(data.job_id);
    expect(job.status).toBe("completed");
    const events = await gateway.call("GET", `/jobs/${data.job_id}/events`, undefined, {
      headers: { accept: "text/event-stream", "last-event-id": "0" },
    });
    expect(events.text).toContain('"phase":"collecting"');
    expect(events.text).toContain('"note":"making mp3"');
  });

  test("a format that the server makes itself costs nothing, and others are made", async () => {
    const play = async (format: string) => {
      const { data } = await gateway.call(
        "POST",
        "/generate/music",
        { prompt: "a march", format },
        { headers: { prefer: "wait=30" } },
      );
      return data.output.artifacts[0];
    };
    expect((await play("wav")).metadata.converted_from).toBeUndefined();
    expect(await play("opus")).toMatchObject({
      name: "song.opus",
      metadata: { duration_seconds: 0.1 },
    });
    const { data } = await gateway.call("GET", "/models?backend=band");
    expect(data.items[0].formats.map((it: any) => [it.format, it.made_by])).toEqual([
      ["wav", "backend"],
      ["mp3", "conversion"],
      ["flac", "backend"],
      ["opus", "conversion"],
      ["ogg", "conversion"],
    ]);
  });
});

describe(`a conversion that takes long, on ${RUNTIME}`, () => {
  /** Says that it can make everything, and then takes its time. */
  function slowFfmpeg(folder: string): { path: string; pid: () => number | false } {
    const path = join(folder, "slow-ffmpeg");
    const pid = join(folder, "pid");
    const list = "pcm_s16le libmp3lame flac libopus libvorbis"
      .split(" ")
      .map((name) => `echo " A..... ${name} x"`)
      .join("; ");
    const script = `#!/bin/sh
for it in "$@"; do if [ "$it" = -encoders ]; then ${list}; exit 0; fi; done
echo $$ > ${pid}.new; mv ${pid}.new ${pid}
exec sleep 600
`;
    writeFileSync(path, script);
    chmodSync(path, 0o755);
    return { path, pid: () => existsSync(pid) && Number(readFileSync(pid, "utf8")) };
  }

  test("ends with a cancel, and the next start cleans up after a kill", async () => {
    const folder = temporaryFolder();
    const { path, pid } = slowFfmpeg(folder);
    const config = `artifacts: { ffmpeg: "${path}" }\nbackends: { espeak: { use: espeak } }\n`;
    let gateway = await startGateway({ folder, config });
    await ready(gateway);
    const temporary = () => readdirSync(join(folder, "data", "conversion"));
    try {
      const request = { text: "Hello", format: "mp3" };
      const first = await gateway.call("POST", "/tts", request);
      const running = await eventually("ffmpeg runs", pid);
      expect(temporary()).toHaveLength(1);
      expect((await gateway.call("DELETE", `/jobs/${first.data.job_id}`)).status).toBe(200);
      expect((await gateway.ended(first.data.job_id)).status).toBe("cancelled");
      await eventually("ffmpeg has ended", () => !isAlive(running));
      await eventually("its files are gone", () => temporary().length === 0);

      await gateway.call("POST", "/tts", request);
      const second = await eventually("ffmpeg runs again", () => pid() !== running && pid());
      await gateway.stop("SIGKILL");
      expect(temporary()).toHaveLength(1);
      process.kill(second, "SIGKILL");
      const [left] = temporary();
      const useKey = gateway.key;
      gateway = await startGateway({ folder, config, useKey });
      expect(temporary()).not.toContain(left);
    } finally {
      await gateway.remove();
    }
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}
