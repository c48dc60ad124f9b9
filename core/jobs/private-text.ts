/** Keeps what people asked for out of the log: servers like to repeat it in their errors. */
import type { JobRow } from "./row.ts";

/** Shorter texts are words such as a format or a language, which an operator wants to read. */
const MIN_LENGTH = 8;
/** So many characters in a row are a piece of the text: errors cut, escape and rewrap it. */
const PIECE = 12;
/** How much of a long text is looked for. */
const MAX_TEXT = 100_000;
const MAX_TEXTS = 200;
/** What a model may be called; anything else in that field is a text like others. */
const MODEL_NAME = /^\w[\w.:+-]*(\/[\w.:+-]+){0,3}$/;

/** The message without the longer texts of the job's input; the model's name stays. */
export function withoutInput(message: string, { input, model }: JobRow): string {
  let clean = message;
  const texts = [...textsIn(input)]
    .filter((text) => text.length >= MIN_LENGTH && !(text === model && MODEL_NAME.test(text)))
    .slice(0, MAX_TEXTS);
  for (const text of texts) clean = clean.replaceAll(text, "[input]");
  return withoutPieces(clean, texts.flatMap(formsOf));
}

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) yield* textsIn(part);
  }
}

/** As it may stand in an error: as it is, on one line, or within quotes. */
function formsOf(text: string): string[] {
  const part = text.slice(0, MAX_TEXT);
  return [...new Set([part, part.replace(/\s+/g, " "), JSON.stringify(part).slice(1, -1)])];
}

function withoutPieces(message: string, texts: readonly string[]): string {
  const places = new Map<string, number[]>();
  for (let at = 0; at + PIECE <= message.length; at++) {
    const piece = message.slice(at, at + PIECE);
    const known = places.get(piece);
    if (known) known.push(at);
    else places.set(piece, [at]);
  }
  const isInput = new Uint8Array(message.length);
  for (const text of texts) {
    for (let at = 0; at + PIECE <= text.length; at++) {
      const piece = text.slice(at, at + PIECE);
      for (const place of places.get(piece) ?? []) isInput.fill(1, place, place + PIECE);
      places.delete(piece);
    }
  }
  let clean = "";
  for (let at = 0; at < message.length; at++) {
    if (isInput[at] === 0) clean += message[at];
    else if (at === 0 || isInput[at - 1] === 0) clean += "[input]";
  }
  return clean;
}
