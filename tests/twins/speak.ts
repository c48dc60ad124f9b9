/** Just enough of the Gradio protocol to see what a real server does, without the adapter. */

export interface Event {
  readonly msg: string;
  readonly success?: boolean;
  readonly output?: { readonly data?: readonly any[]; readonly error?: string | null };
  readonly progress_data?: readonly any[];
}

/** A session with one server: calls by endpoint name and position, and every event that came. */
export async function speakTo(url: string) {
  const config: any = await (await fetch(`${url}/config`)).json();
  const prefix: string = config.api_prefix ?? "";
  const info: any = await (await fetch(`${url}${prefix}/info`)).json();
  const post = async (path: string, body: unknown): Promise<any> => {
    const headers = { "content-type": "application/json" };
    const options = { method: "POST", headers, body: JSON.stringify(body) };
    return (await fetch(`${url}${prefix}${path}`, options)).json();
  };
  const dependency = (endpoint: string): any =>
    config.dependencies.find((one: any) => `/${one.api_name}` === endpoint);
  const kinds = new Map<number, string>(config.components.map((one: any) => [one.id, one.type]));

  return {
    config,
    info,
    prefix,
    dependency,
    kindsOf: (ids: readonly number[]) => ids.map((id) => kinds.get(id)),
    /** Defaults for everything but `values`, null for State. */
    arguments(endpoint: string, values: Readonly<Record<string, unknown>>): unknown[] {
      const parameters = [...info.named_endpoints[endpoint].parameters];
      return dependency(endpoint).inputs.map((id: number) => {
        if (kinds.get(id) === "state") return null;
        const { parameter_name, parameter_default } = parameters.shift();
        return parameter_name in values ? values[parameter_name] : parameter_default;
      });
    },
    async join(endpoint: string, data: readonly unknown[], session: string): Promise<string> {
      const fn_index: number = dependency(endpoint).id;
      return (await post("/queue/join", { data, fn_index, session_hash: session })).event_id;
    },
    cancel: (endpoint: string, session: string, event: string): Promise<any> =>
      post("/cancel", {
        session_hash: session,
        fn_index: dependency(endpoint).id,
        event_id: event,
      }),
    /** Every event of the session until its stream is closed by the server, or by the signal. */
    async events(session: string, signal?: AbortSignal): Promise<Event[]> {
      const events: Event[] = [];
      try {
        const path = `${url}${prefix}/queue/data?session_hash=${session}`;
        const response = await fetch(path, { signal });
        let text = "";
        const decoder = new TextDecoder();
        for await (const chunk of response.body ?? []) {
          text += decoder.decode(chunk, { stream: true });
          const parts = text.split("\n\n");
          text = parts.pop() ?? "";
          for (const part of parts) events.push(JSON.parse(part.replace(/^data: /, "")));
        }
      } catch (error) {
        if (!signal?.aborted) throw error;
      }
      return events;
    },
  };
}
