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
      // Only for tests of plugins; a gateway never loads it.
      build.module("switchyard/sdk/testing", async () => {
        const testing = await import("../sdk/testing/mod.ts");
        return { exports: { ...testing }, loader: "object" };
      });
    },
  });
}
