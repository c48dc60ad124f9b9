/**
 * A program that misbehaves in the way that the first word of its prompt names; any other word is
 * a sound. Run as `faulty.ts <file with the prompt> <folder for outputs>`.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silence } from "./stage.ts";

const [promptFile = "", out = ""] = process.argv.slice(2);
const put = (bytes: Uint8Array | string): void => writeFileSync(join(out, "sound.wav"), bytes);
const fail = (message: string, code = 1): void => {
  console.error(message);
  process.exitCode = code;
};

const FAULTS: Readonly<Record<string, () => unknown>> = {
  "kill-9": () => process.kill(process.pid, "SIGKILL"),
  segfault: () => process.kill(process.pid, "SIGSEGV"),
  exit: () => fail("RuntimeError: the model exploded", 3),
  memory: () => fail("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"),
  "disk-full": () => fail("OSError: [Errno 28] No space left on device"),
  "no-output": () => console.log("Saved to sound.wav"),
  "empty-output": () => put(""),
  "cut-wav": () => put(silence().subarray(0, 400)),
  page: () => put("<!doctype html><title>502 Bad Gateway</title>"),
  "link-out": () => spawn("ln", ["-s", "/etc/passwd", join(out, "sound.wav")]),
  silent: () => setInterval(() => {}, 1_000),
  // Deaf to the first signal as well.
  deaf() {
    process.on("SIGTERM", () => {});
    setInterval(() => {}, 1_000);
  },
  flood() {
    const line = `${"x".repeat(65_535)}\n`;
    for (let written = 0; written < 64 * 1024 * 1024; written += line.length) {
      writeFileSync(1, line);
    }
    put(silence());
  },
  "one-line"() {
    for (let written = 0; written < 64; written++) writeFileSync(1, "x".repeat(1024 * 1024));
    put(silence());
  },
  "cut-utf8"() {
    writeFileSync(1, Buffer.from("naïve 🚂 50%|█████     | 1/2\n").subarray(0, 9));
    put(silence());
  },
  // It has the output of its parent for as long as it lives.
  grandchild() {
    spawn("sleep", ["600"], { stdio: "inherit", detached: true }).unref();
    put(silence());
  },
};

const [word = ""] = readFileSync(promptFile, "utf8").split(" ");
const fault = FAULTS[word];
if (fault) fault();
else put(silence());
