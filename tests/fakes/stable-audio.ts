/** A stand-in for stable-audio-tools, or for Stable Audio 3: see gradio.ts for what it does. */
import { type FakeGradio, type FakeGradioOptions, startFakeGradio } from "./gradio.ts";

export function startFakeStableAudio(options: FakeGradioOptions = {}): Promise<FakeGradio> {
  return startFakeGradio({ signature: "stable-audio-tools-0.0.19", ...options });
}
