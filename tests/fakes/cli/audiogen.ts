/**
 * Plays a Python that runs plugins/audiocraft/audiogen.py: the same arguments, the same lines, no
 * model. Words of the prompt steer it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readBehaviour } from "../../../core/sdk/testing/fake.ts";
import { crash, onStage, silence } from "./stage.ts";

const { args, note } = onStage();
const [script = "", requestFile = "", folder = ""] = args;
if (!script.endsWith("audiogen.py")) crash(`FileNotFoundError: ${script}`);
const request = JSON.parse(readFileSync(requestFile, "utf8"));
note("run", request);
const { steps, fail, oom, hang, nullOutput, slowStart } = readBehaviour(request.prompt);

console.log(`loading ${request.model}`);
if (slowStart) await delay(400);
if (hang) {
  console.log("step 1 of 250");
  setInterval(() => {}, 1_000);
  await new Promise(() => {});
}
for (let step = 1; step <= steps; step++) {
  console.log(`step ${step} of ${steps}`);
  await delay(10);
}
if (oom) crash("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.");
if (fail) crash("RuntimeError: the weights are not to be read");
console.log("saving");
if (!nullOutput) writeFileSync(join(folder, "audio.wav"), silence());
process.exit(0);
