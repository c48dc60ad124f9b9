/** A stand-in for AudioCraft's demo of MusicGen, or of MAGNeT: see gradio.ts for what it does. */
import { type FakeGradio, type FakeGradioOptions, startFakeGradio } from "./gradio.ts";

export function startFakeAudioCraft(options: FakeGradioOptions = {}): Promise<FakeGradio> {
  return startFakeGradio({ signature: "audiocraft-musicgen", gradio: "4.44.1", ...options });
}
