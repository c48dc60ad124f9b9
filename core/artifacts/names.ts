/** Names of artifacts: for display and download only, never part of a path on this machine. */

const MAX_CHARACTERS = 128;
/** Longest ending that is kept when a name is cut. */
const MAX_EXTENSION = 16;
/** Control characters, lone surrogates, and marks that turn the direction of writing. */
const UNSAFE = /[\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]/gu;

/** The last segment of what the backend called it; "artifact" when nothing of it can be kept. */
export function sanitizeName(name: string): string {
  const segments = name.normalize("NFC").replace(UNSAFE, "").split(/[/\\]/);
  const last = segments.findLast((segment) => !/^[.\s]*$/.test(segment)) ?? "";
  // A leading dot hides a file; Windows drops dots and spaces at the end.
  const clean = last.replace(/^[.\s]+|[.\s]+$/g, "");
  return shorten(clean) || "artifact";
}

/** The value of Content-Disposition: plain ASCII for old clients, the real name by RFC 8187. */
export function disposition(kind: "attachment" | "inline", name: string): string {
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, "_");
  const encoded = encodeURIComponent(name).replace(/['()*]/g, percent);
  return `${kind}; filename="${ascii}"; filename*=UTF-8''${encoded}`;
}

function shorten(name: string): string {
  const characters = [...name];
  if (characters.length <= MAX_CHARACTERS) return name;
  const dot = characters.lastIndexOf(".");
  const extension = characters.length - dot <= MAX_EXTENSION ? characters.slice(dot) : [];
  return [...characters.slice(0, MAX_CHARACTERS - extension.length), ...extension].join("");
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
