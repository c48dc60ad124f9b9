/** Follows what a program prints into a file, in lines that end with \n or, as of a bar, with \r. */
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";

export interface LogTail {
  /** What was printed since the last call, line by line; true when there was anything. */
  read(line: (text: string) => void): boolean;
  /** What is left, when nobody writes any more: the last line may have no end. */
  finish(line: (text: string) => void): void;
  /** The newest lines, newest last. */
  readonly last: readonly string[];
}

const PIECE_BYTES = 64 * 1024;
/** A file of this size is emptied: the program appends, so it goes on at the beginning. */
const MAX_FILE_BYTES = 8 * 1024 * 1024;
/** Longer lines are cut here. */
const MAX_LINE = 4_096;
const KEPT_LINES = 60;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are told colours this way.
const COLOURS = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** From the beginning of the file, which may have been written for a gateway before this one. */
export function tailLog(path: string): LogTail {
  const decoder = new StringDecoder("utf8");
  const last: string[] = [];
  let offset = 0;
  let open = "";
  let standing = "";

  function keep(text: string, line: (text: string) => void): void {
    const shown = plain(text).trimEnd().slice(0, MAX_LINE);
    if (shown === "") return;
    last.push(shown);
    if (last.length > KEPT_LINES) last.shift();
    line(shown);
  }

  function split(text: string, line: (text: string) => void): void {
    const lines = (open + text).split(/[\r\n]/);
    open = lines.pop() ?? "";
    // A program that never ends its line must not fill our memory.
    if (open.length > MAX_LINE) open = open.slice(-MAX_LINE);
    for (const each of lines) keep(each, line);
  }

  function readOn(line: (text: string) => void): boolean {
    const descriptor = openSync(path, "r+");
    let isNew = false;
    try {
      const { size } = fstatSync(descriptor);
      if (size < offset) offset = 0;
      // What was printed while nobody looked may be more than one can read in passing.
      offset = Math.max(offset, size - MAX_FILE_BYTES);
      const buffer = Buffer.allocUnsafe(PIECE_BYTES);
      for (let count = 1; offset < size && count > 0; ) {
        count = readSync(descriptor, buffer, 0, PIECE_BYTES, offset);
        offset += count;
        isNew ||= count > 0;
        split(decoder.write(buffer.subarray(0, count)), line);
      }
      if (offset >= MAX_FILE_BYTES) {
        ftruncateSync(descriptor, 0);
        offset = 0;
      }
    } finally {
      closeSync(descriptor);
    }
    return isNew;
  }

  return {
    last,
    read(line) {
      // Somebody may have cleared the folder; the program goes on and so do we.
      if (!existsSync(path)) return false;
      const isNew = readOn(line);
      // A bar stands without an end until the next one is drawn over it.
      if (!isNew && open !== standing) {
        standing = open;
        const shown = plain(open).trim();
        if (shown !== "") line(shown);
      }
      return isNew;
    },
    finish(line) {
      if (existsSync(path)) readOn(line);
      split(`${decoder.end()}\n`, line);
    },
  };
}

function plain(text: string): string {
  return text.replace(COLOURS, "");
}
