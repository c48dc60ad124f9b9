/** Calls of the tools that WanGP serves over MCP. */
import { BackendError, type HttpClient, matches, mismatch, type Static, t } from "switchyard/sdk";
import { type CallOptions, post } from "./rpc.ts";

const Content = t.Array(t.Object({ type: t.String(), text: t.Optional(t.String()) }));
const Answer = t.Object({
  result: t.Optional(
    t.Object({
      isError: t.Optional(t.Boolean()),
      content: t.Optional(Content),
      structuredContent: t.Optional(t.Unknown()),
    }),
  ),
  error: t.Optional(t.Object({ message: t.String() })),
});
/** Lists, and what may be null, come inside of this. */
const Wrapped = t.Object({ result: t.Unknown() }, { additionalProperties: false });

/** When the tool fails: BACKEND_FAILED, of which `toolSaid` knows the words. */
export async function callTool<Schema extends Parameters<typeof matches>[0]>(
  http: HttpClient,
  name: string,
  args: Readonly<Record<string, unknown>>,
  { as: schema, ...limits }: CallOptions<Schema>,
): Promise<Static<Schema>> {
  const {
    isError,
    content = [],
    structuredContent,
  } = await ask(http, "tools/call", { name, arguments: args }, limits);
  const text = content.map((part) => part.text ?? "").join("\n");
  if (isError) {
    const tool_said = text.replace(/^Error executing tool \w+: /, "").slice(0, 500);
    const message = `WanGP's ${name} failed: ${tool_said}`;
    throw new BackendError("BACKEND_FAILED", message, { details: { tool_said } });
  }
  const told = toldBy(structuredContent, content);
  for (const value of told) if (matches(schema, value)) return value;
  const why = `${name} answered in another shape: ${mismatch(schema, told[0])}`;
  throw new BackendError("BACKEND_BAD_OUTPUT", `WanGP's ${why}`);
}

/** What a tool said when it failed; undefined of another error. Newer packages hide the words. */
export function toolSaid(error: unknown): string | undefined {
  const said = BackendError.is(error) ? error.details?.tool_said : undefined;
  return typeof said === "string" ? said : undefined;
}

const Tools = t.Object({ result: t.Object({ tools: t.Array(t.Object({ name: t.String() })) }) });

export async function toolNames(http: HttpClient, signal: AbortSignal): Promise<string[]> {
  const { result } = await post(http, "tools/list", {}, { signal, as: Tools });
  return result.tools.map(({ name }) => name);
}

async function ask(
  http: HttpClient,
  method: string,
  params: object,
  limits: Omit<CallOptions<unknown>, "as">,
): Promise<NonNullable<Static<typeof Answer>["result"]>> {
  const { result, error } = await post(http, method, params, { ...limits, as: Answer });
  if (result !== undefined) return result;
  const said = error?.message ?? "nothing";
  throw new BackendError("BACKEND_MISMATCH", `WanGP's MCP server answered ${method} with ${said}`);
}

/** What the answer may mean: some servers send only text, a block of it for each item of a list. */
function toldBy(structured: unknown, content: Static<typeof Content>): readonly unknown[] {
  if (structured !== undefined && structured !== null) {
    return matches(Wrapped, structured) ? [structured, structured.result] : [structured];
  }
  const items = content.map(({ text = "" }) => parse(text));
  return items.length === 0 ? [null, []] : [items[0], items];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
