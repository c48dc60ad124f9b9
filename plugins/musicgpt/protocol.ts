/** MusicGPT's messages: JSON, each an object with one key that names its kind. */
import { createHash } from "node:crypto";
import { matches, type Static, t } from "switchyard/sdk";

/** A generation, and the chat that it stands in: both named by us, so that it is found again. */
export interface Ids {
  readonly id: string;
  readonly chat_id: string;
}

const ids = { id: t.String(), chat_id: t.String() };
const About = t.Object({ model: t.String(), device: t.String() });
export type About = Static<typeof About>;
const Entry = t.Union([
  t.Object({ Ai: t.Object({ ...ids, relpath: t.String(), error: t.String() }) }),
  t.Object({ User: t.Object(ids) }),
]);
const Chat = t.Tuple([t.Object({ chat_id: t.String(), name: t.String() }), t.Array(Entry)]);

const Message = t.Union([
  t.Object({ Info: About }),
  t.Object({ Chat }),
  t.Object({ Error: t.String() }),
  t.Object({
    Generation: t.Union([
      t.Object({ Start: t.Object(ids) }),
      t.Object({ Progress: t.Object({ ...ids, progress: t.Number() }) }),
      t.Object({ Result: t.Object(ids) }),
      t.Object({ Error: t.Object({ ...ids, error: t.String() }) }),
    ]),
  }),
]);

/** What a message means to who waits for one generation. */
export type News =
  | { readonly kind: "about"; readonly about: About }
  /** What the server has of the chat on disk; `known` is false before anything was sent to it. */
  | { readonly kind: "chat"; readonly known: boolean; readonly started: boolean }
  | { readonly kind: "started" }
  | { readonly kind: "progress"; readonly fraction: number }
  | { readonly kind: "ended"; readonly error: string }
  /** The server did not take what we sent on this socket. */
  | { readonly kind: "refused"; readonly error: string }
  /** Of other chats, or a kind that is of no use here. */
  | { readonly kind: "other" };

/** Lower-case UUIDs: every attempt has its own, the same ones whenever they are asked for. */
export function idsOf(jobId: string, attempt: number): Ids {
  return { id: uuid(`${jobId} ${attempt} audio`), chat_id: uuid(`${jobId} ${attempt} chat`) };
}

export function read(message: string | Uint8Array | undefined, wanted: Ids): News {
  const parsed = typeof message === "string" ? parse(message) : undefined;
  if (!matches(Message, parsed)) return { kind: "other" };
  if ("Info" in parsed) return { kind: "about", about: parsed.Info };
  if ("Error" in parsed) return { kind: "refused", error: parsed.Error };
  if ("Chat" in parsed) return fromChat(parsed.Chat, wanted);
  const event = parsed.Generation;
  const [body] = Object.values(event);
  if (body?.id !== wanted.id) return { kind: "other" };
  if ("Start" in event) return { kind: "started" };
  if ("Progress" in event) return { kind: "progress", fraction: event.Progress.progress };
  return { kind: "ended", error: "Error" in event ? event.Error.error || "no reason" : "" };
}

function fromChat([{ chat_id, name }, entries]: Static<typeof Chat>, wanted: Ids): News {
  if (chat_id !== wanted.chat_id) return { kind: "other" };
  for (const entry of entries) {
    if ("Ai" in entry && entry.Ai.id === wanted.id) {
      const { error, relpath } = entry.Ai;
      return { kind: "ended", error: relpath === "" ? error || "no reason" : "" };
    }
  }
  // Asking for a chat makes it, without a name; the prompt is the name of one that works.
  return { kind: "chat", known: name !== "", started: entries.length > 0 };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function uuid(name: string): string {
  const hex = createHash("sha256").update(name).digest("hex");
  // Version 8, "made by an application's own rule", in the variant of RFC 9562.
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`];
  return [...parts, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join("-");
}
