/**
 * Reads the plain XML that nvidia-smi prints: elements, text, and the five named entities. No DTD,
 * no CDATA, no own entities, and a bound on depth, so that hostile text costs little.
 */

export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  /** The element's own text, trimmed. */
  readonly text: string;
}

interface Open {
  name: string;
  children: XmlElement[];
  text: string;
}

const TAG = /<(?:\?[^>]*\?|![^>]*|(\/?)([A-Za-z_][\w.-]*)((?:\s+[\w.-]+="[^"<]*")*)\s*(\/?))>/g;
const MAX_DEPTH = 32;

/** The root element, or undefined when the text is not one well-formed document. */
export function parseXml(text: string): XmlElement | undefined {
  const root: Open = { name: "", children: [], text: "" };
  const path: Open[] = [root];
  let end = 0;
  for (const tag of text.matchAll(TAG)) {
    const top = path.at(-1);
    if (top === undefined) return undefined;
    top.text += text.slice(end, tag.index);
    end = tag.index + tag[0].length;
    const [, closing, name, , empty] = tag;
    if (name === undefined) continue;
    if (closing === "/") {
      if (top.name !== name || path.length === 1) return undefined;
      path.pop();
      path.at(-1)?.children.push(closed(top));
    } else if (empty === "/") {
      top.children.push({ name, children: [], text: "" });
    } else {
      if (path.length > MAX_DEPTH) return undefined;
      path.push({ name, children: [], text: "" });
    }
  }
  return path.length === 1 && root.children.length === 1 ? root.children[0] : undefined;
}

export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((child) => child.name === name);
}

export function textOf(element: XmlElement | undefined, ...path: readonly string[]): string {
  let at = element;
  for (const name of path) at = childOf(at, name);
  return at?.text ?? "";
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function closed({ name, children, text }: Open): XmlElement {
  const plain = text.replace(/&(amp|lt|gt|quot|apos);/g, (all, entity) => ENTITIES[entity] ?? all);
  return { name, children, text: plain.trim() };
}
