import { testPlugin } from "switchyard/sdk/testing";
import plugin from "../../plugins/comfyui/plugin.ts";
import { startFakeComfyUI } from "../fakes/comfyui.ts";

testPlugin(plugin, {
  fake: startFakeComfyUI,
  submits: { "image.generate": "POST /prompt" },
});
