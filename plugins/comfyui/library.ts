/** The workflow templates of one backend: the shipped ones and the operator's own. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseWorkflow, type Workflow } from "./workflow.ts";

export interface LibrarySettings {
  readonly default_workflow: string;
  readonly workflows_dir?: string;
}

export interface Library {
  readonly workflows: ReadonlyMap<string, Workflow>;
  /** Everything that is wrong with the files, or undefined. */
  readonly problem: string | undefined;
}

const SHIPPED = fileURLToPath(new URL("./workflows/", import.meta.url));

/** `check` and `vram` must answer at once, so the files are read once per settings object. */
const libraries = new WeakMap<LibrarySettings, Library>();

export function libraryOf(settings: LibrarySettings): Library {
  return libraries.get(settings) ?? reloadLibrary(settings);
}

/** Reads the files again: an edited template counts from the next look at the backend's health. */
export function reloadLibrary(settings: LibrarySettings): Library {
  const library = read(settings);
  libraries.set(settings, library);
  return library;
}

function read({ default_workflow, workflows_dir }: LibrarySettings): Library {
  const workflows = new Map<string, Workflow>();
  const problems: string[] = [];
  // The operator's files come last, so that a file of the same name replaces a shipped one.
  for (const folder of [SHIPPED, ...(workflows_dir ? [resolve(workflows_dir)] : [])]) {
    for (const file of filesIn(folder, problems)) {
      const name = basename(file, ".json");
      try {
        workflows.set(name, parseWorkflow(name, readFileSync(join(folder, file), "utf8")));
      } catch (error) {
        problems.push(`${file} ${error instanceof Error ? error.message : "is not readable"}`);
      }
    }
  }
  if (!workflows.has(default_workflow) && problems.length === 0) {
    const names = [...workflows.keys()].join(", ");
    problems.push(`default_workflow "${default_workflow}" is none of ${names}`);
  }
  return { workflows, problem: problems.length > 0 ? problems.join("; ") : undefined };
}

function filesIn(folder: string, problems: string[]): string[] {
  try {
    return readdirSync(folder)
      .filter((file) => file.endsWith(".json"))
      .sort();
  } catch {
    problems.push(`workflows_dir "${basename(folder)}" cannot be read; is it a folder?`);
    return [];
  }
}
