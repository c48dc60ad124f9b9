/** Lyrics as DiffRhythm 2 reads them: section tags on lines of their own, exactly as it spells them. */

/** The tags that it knows; a line that is none of them is sung, also a misspelt tag. */
const TAGS = ["intro", "verse", "chorus", "outro", "inst", "solo", "bridge", "hook", "break"];
const OTHER_NAMES: Readonly<Record<string, string>> = {
  instrumental: "inst",
  interlude: "inst",
  refrain: "chorus",
  "pre-chorus": "verse",
  prechorus: "verse",
  ending: "outro",
  guitar: "solo",
};
const STAMP = /^(\s*\[\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?\])+/;

export function toSections(lyrics: string | undefined): string {
  const lines = (lyrics ?? "")
    .split(/\r\n|[\n\r\u2028\u2029]/)
    .map((line) =>
      lineOf(
        line
          .replace(STAMP, "")
          .replace(/\p{Cc}+/gu, " ")
          .trim(),
      ),
    )
    .filter((line) => line !== undefined);
  if (lines.length === 0) return "[start]\n[intro]\n[inst]\n[end]";
  const opening = lines[0]?.startsWith("[") ? [] : ["[verse]"];
  return ["[start]", ...opening, ...lines, "[end]"].join("\n");
}

/** Undefined for what is neither sung nor a tag that it knows. */
function lineOf(line: string): string | undefined {
  const label = /^\[([^\]]*)\]$/.exec(line)?.[1]?.toLowerCase();
  if (label === undefined) return line === "" ? undefined : line;
  const [name = ""] = /[a-z-]+/.exec(label) ?? [];
  const tag = OTHER_NAMES[name] ?? name;
  return TAGS.includes(tag) ? `[${tag}]` : undefined;
}
