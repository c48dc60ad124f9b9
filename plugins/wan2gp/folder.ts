/** WanGP's own folder: which models are described in it. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { BackendError } from "switchyard/sdk";
import type { Request } from "./input.ts";
import type { Settings } from "./settings.ts";

/** What its folder has descriptions of; their weights may still be missing. */
export function modelsIn(folder: string): readonly { readonly name: string }[] {
  const names = ["defaults", "finetunes"].flatMap((part) => {
    try {
      return readdirSync(join(folder, part));
    } catch {
      return [];
    }
  });
  const models = names
    .filter((name) => name.endsWith(".json"))
    .map((name) => basename(name, ".json"));
  return [...new Set(models)].sort().map((name) => ({ name }));
}

/** A request names a model that is described in WanGP's folder, and no file anywhere else. */
export function checkModel({ model }: Request, { folder = "" }: Settings): void {
  const isKnown = model === undefined || modelsIn(folder).some(({ name }) => name === model);
  if (!isKnown) throw new BackendError("BACKEND_REJECTED", `model: WanGP has no model "${model}"`);
}
