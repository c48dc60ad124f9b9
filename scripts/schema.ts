/**
 * Writes config/gateway.schema.json, which editors use to complete and check gateway.yaml.
 * With --check it writes nothing and fails when the file is not what the code says.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { jsonSchema } from "../core/config/mod.ts";

const file = new URL("../config/gateway.schema.json", import.meta.url);
const folder = new URL("../plugins/", import.meta.url);

const names = readdirSync(folder).filter((name) =>
  existsSync(new URL(`${name}/plugin.ts`, folder)),
);
const plugins = await Promise.all(
  names.map(async (name) => (await import(new URL(`${name}/plugin.ts`, folder).href)).default),
);
const wanted = jsonSchema(plugins);
const found = existsSync(file) ? readFileSync(file, "utf8") : undefined;

if (!process.argv.includes("--check")) {
  writeFileSync(file, wanted);
  console.log(`${fileURLToPath(file)}: ${found === wanted ? "unchanged" : "written"}`);
} else if (found !== wanted) {
  console.error("config/gateway.schema.json is out of date; run `npm run schema` and commit it.");
  process.exitCode = 1;
}
