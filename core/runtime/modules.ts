/**
 * Lets a plugin outside this repository write `import … from "switchyard/sdk"` without installing
 * anything. On Deno the import map of deno.json does the same.
 */
import * as sdk from "../sdk/mod.ts";

export function provideSdk(): void {
  if (typeof Bun === "undefined") return;
  Bun.plugin({
    name: "switchyard-sdk",
    setup(build) {
      build.module("switchyard/sdk", () => ({ exports: { ...sdk }, loader: "object" }));
    },
  });
}
