/**
 * @module
 * The Gradio adapter: drives a program of Gradio 4, 5 or 6 from a description of it.
 */
export { gradioApp } from "./app.ts";
export type {
  GradioApp,
  GradioArguments,
  GradioCall,
  GradioCancel,
  GradioOutput,
  GradioParameter,
  GradioServer,
  GradioStage,
  GradioValue,
} from "./types.ts";
