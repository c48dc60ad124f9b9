/** Keeps what people asked for out of the log: servers like to repeat it in their errors. */
import type { JobRow } from "./row.ts";

/** Shorter texts are words such as a format or a language, which an operator wants to read. */
const MIN_LENGTH = 8;

/** The message with every longer text of the job's input replaced; the model's name stays. */
export function withoutInput(message: string, { input, model }: JobRow): string {
  let clean = message;
  for (const text of textsIn(input)) {
    if (text.length >= MIN_LENGTH && text !== model) clean = clean.replaceAll(text, "[input]");
  }
  return clean;
}

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) yield* textsIn(part);
  }
}
