/** Cuts a stream of text behind each end mark, however its chunks are cut, within a bound. */

export interface Splitter {
  /** The pieces that became complete, each with its end mark. */
  push(chunk: string): readonly string[];
  /** What stands behind the last end mark. */
  rest(): string;
}

/** A piece longer than `limit` characters is forgotten: whoever prints that is not the tool. */
export function createSplitter(endMark: string, limit: number): Splitter {
  let rest = "";
  return {
    push(chunk) {
      const pieces: string[] = [];
      // The mark may begin in the old text: look again at as much of it as could be its start.
      let from = Math.max(0, rest.length - endMark.length + 1);
      rest += chunk;
      for (;;) {
        const at = rest.indexOf(endMark, from);
        if (at < 0) break;
        pieces.push(rest.slice(0, at + endMark.length));
        rest = rest.slice(at + endMark.length);
        from = 0;
      }
      if (rest.length > limit) rest = rest.slice(-endMark.length);
      return pieces;
    },
    rest: () => rest,
  };
}
