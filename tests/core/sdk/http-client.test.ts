/** The HTTP client against servers that answer well: what it sends, what it gives, how it ends. */
import { afterEach, describe, expect, test } from "bun:test";
import { t } from "switchyard/sdk";
import { createHttpClient } from "../../../core/sdk/http-client.ts";
import { failure, serve, stopServers } from "./server.ts";

afterEach(stopServers);

const ok = (): Response => Response.json({ ok: true });

describe("what is sent", () => {
  test("a path and a query under the base URL, with its prefix kept", async () => {
    const { baseUrl, seen, client } = serve(ok);
    const http = client({ baseUrl: `${baseUrl}/comfy/` });
    expect(http.baseUrl).toBe(`${baseUrl}/comfy`);
    await http.get("/view?a=1", { query: { name: "a b&c", page: 2, none: undefined } });
    expect(seen[0]?.url).toBe(`${baseUrl}/comfy/view?a=1&name=a+b%26c&page=2`);
  });

  test("a path that would leave the base URL is refused, and nothing is sent", async () => {
    const { seen, client, baseUrl } = serve(ok);
    const http = client({ baseUrl: `${baseUrl}/comfy` });
    for (const path of ["/../admin", "/a/%2e%2E/b", "/a\\..\\b", "/."]) {
      expect((await failure(http.get(path))).code).toBe("BACKEND_REJECTED");
    }
    for (const path of ["view", "http://evil.example/x", ""]) {
      const error = await http.get(path).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TypeError);
    }
    expect(seen).toEqual([]);
    await http.get("//evil.example/x#y");
    expect(seen[0]?.url).toBe(`${baseUrl}/comfy//evil.example/x%23y`);
  });

  test("a form, a string, bytes, and JSON, each with its type", async () => {
    const { seen, http } = serve(ok);
    const form = new FormData();
    form.set("name", "value");
    await http.post("/a", form);
    await http.post("/b", "plain");
    await http.post("/c", new Uint8Array([104, 105]));
    await http.post("/d", { prompt: "naïve" });
    await http.post("/e", new URLSearchParams({ text: "a b" }));
    await http.post("/f");
    const types = seen.map(({ headers }) => headers.get("content-type")?.split(";")[0] ?? null);
    expect(types).toEqual([
      "multipart/form-data",
      "text/plain",
      "application/octet-stream",
      "application/json",
      "application/x-www-form-urlencoded",
      null,
    ]);
    expect(seen[0]?.body).toContain('name="name"');
    expect(seen.slice(1).map(({ body }) => body)).toEqual([
      "plain",
      "hi",
      '{"prompt":"naïve"}',
      "text=a+b",
      "",
    ]);
  });

  test("the operator's headers, but no cookie and no origin, even after one was set", async () => {
    const { seen, client } = serve(
      () => new Response("{}", { headers: { "set-cookie": "session=1; Path=/" } }),
    );
    const http = client({ headers: { authorization: "Bearer secret" } });
    await http.get("/a");
    await http.get("/b", { headers: { "x-more": "1" } });
    expect(seen[1]?.headers.get("authorization")).toBe("Bearer secret");
    expect(seen[1]?.headers.get("x-more")).toBe("1");
    for (const name of ["cookie", "origin", "referer"]) {
      expect(seen[1]?.headers.get(name)).toBeNull();
    }
  });

  test("a user and password of the URL as a header, and never in a message", async () => {
    const { seen, client, baseUrl } = serve(() => new Response(null, { status: 500 }));
    const http = client({ baseUrl: baseUrl.replace("//", "//me:pä%2Fss@") });
    const error = await failure(http.get("/a"));
    const sent = seen[0]?.headers.get("authorization") ?? "";
    expect(Buffer.from(sent.replace("Basic ", ""), "base64").toString()).toBe("me:pä/ss");
    expect(http.baseUrl).toBe(baseUrl);
    expect(error.message).not.toContain("ss");
  });

  test("a URL that is none is refused with the server's name", () => {
    for (const baseUrl of ["", "localhost:8188", "ftp://x", "file:///etc/passwd"]) {
      expect(() => createHttpClient({ baseUrl, title: "ComfyUI" })).toThrow(/url of ComfyUI/);
    }
  });
});

describe("a JSON answer", () => {
  const Models = t.Object({ models: t.Array(t.String()) });

  test("is given, checked against the schema", async () => {
    const { http } = serve(() => Response.json({ models: ["a"], more: 1 }));
    expect(await http.get("/models", { as: Models })).toEqual({ models: ["a"], more: 1 } as never);
  });

  test("of another shape is BACKEND_BAD_OUTPUT and names the place", async () => {
    const { http } = serve(() => Response.json({ models: [1] }));
    const error = await failure(http.get("/models", { as: Models }));
    expect(error.code).toBe("BACKEND_BAD_OUTPUT");
    expect(error.message).toContain("/models/0");
  });

  test("that tells of a failure under status 200 is BACKEND_FAILED in the server's words", async () => {
    const { http } = serve(() => Response.json({ error: { message: "the model exploded" } }));
    const error = await failure(http.get("/models", { as: Models }));
    expect(error.code).toBe("BACKEND_FAILED");
    expect(error.message).toContain("the model exploded");
  });

  test("that is empty is undefined, unless a shape is asked for", async () => {
    const { http } = serve(() => new Response(null));
    expect(await http.post("/free", {})).toBeUndefined();
    expect((await failure(http.get("/models", { as: Models }))).code).toBe("BACKEND_BAD_OUTPUT");
  });

  test("of bytes that are not UTF-8 is BACKEND_BAD_OUTPUT", async () => {
    const { http } = serve(() => new Response(new Uint8Array([0x22, 0xff, 0x22])));
    expect((await failure(http.get("/a"))).message).toContain("not UTF-8");
  });

  test("larger than `maxBytes` is BACKEND_BAD_OUTPUT, with a length or without", async () => {
    const { http } = serve((request) => {
      const text = JSON.stringify("x".repeat(2_000));
      if (request.url.endsWith("/known")) return new Response(text);
      return new Response(
        new ReadableStream({
          start(controller) {
            for (let at = 0; at < text.length; at += 500) {
              controller.enqueue(new TextEncoder().encode(text.slice(at, at + 500)));
            }
            controller.close();
          },
        }),
      );
    });
    for (const path of ["/known", "/streamed"]) {
      const error = await failure(http.get(path, { maxBytes: 1_000 }));
      expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
      expect(error.message).toContain("1000 bytes");
      expect(await http.get(path, { maxBytes: 2_002 })).toHaveLength(2_000);
    }
  });
});

describe("a server that is not there", () => {
  test("is BACKEND_UNREACHABLE in words", async () => {
    const { client, baseUrl } = serve(ok);
    await stopServers();
    for (const work of [client().get("/a"), client().post("/a", {}), client().fetch("/a")]) {
      const error = await failure(work);
      expect(error.code).toBe("BACKEND_UNREACHABLE");
      expect(error.message).toBe(`ComfyUI at ${baseUrl} is not responding: connection refused`);
    }
  });

  test("under an unknown name is BACKEND_UNREACHABLE", async () => {
    const http = createHttpClient({ baseUrl: "http://no-such-host.invalid", title: "ComfyUI" });
    expect((await failure(http.get("/a"))).message).toEndWith("not responding: unknown host");
  });
});

describe("the caller's signal", () => {
  const reason = new Error("the job was cancelled");
  const hanging = () => serve(() => new Promise<Response>(() => {}));

  test("that is aborted already sends nothing and throws its reason", async () => {
    const { http, seen } = serve(ok);
    const signal = AbortSignal.abort(reason);
    for (const work of [http.get("/a", { signal }), http.fetch("/a", { signal })]) {
      expect(await work.catch((error: unknown) => error)).toBe(reason);
    }
    expect(seen).toEqual([]);
  });

  test("that aborts before the headers throws its reason", async () => {
    const { http, seen } = hanging();
    const abort = new AbortController();
    const asked = http.get("/a", { signal: abort.signal }).catch((error: unknown) => error);
    while (seen.length === 0) await new Promise((turn) => setTimeout(turn, 1));
    abort.abort(reason);
    expect(await asked).toBe(reason);
  });

  test("that aborts in the body throws its reason and closes the connection", async () => {
    let gone = false;
    const { http } = serve(
      (request) =>
        new Response(
          new ReadableStream({
            start(controller) {
              request.signal.addEventListener("abort", () => {
                gone = true;
              });
              controller.enqueue(new Uint8Array([1]));
            },
          }),
        ),
    );
    const abort = new AbortController();
    const reader = (await http.fetch("/a", { signal: abort.signal })).body!.getReader();
    expect((await reader.read()).value).toEqual(new Uint8Array([1]));
    const rest = reader.read().catch((error: unknown) => error);
    abort.abort(reason);
    expect(await rest).toBe(reason);
    while (!gone) await new Promise((turn) => setTimeout(turn, 1));
  });

  test("leaves no listener behind when all went well", async () => {
    const { http } = serve(ok);
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener: add, removeEventListener: remove } = signal;
    signal.addEventListener = (...words: unknown[]) => {
      listeners += 1;
      Reflect.apply(add, signal, words);
    };
    signal.removeEventListener = (...words: unknown[]) => {
      listeners -= 1;
      Reflect.apply(remove, signal, words);
    };
    for (let time = 0; time < 20; time++) await http.get("/a", { signal });
    await (await http.fetch("/a", { signal })).text();
    expect(listeners).toBe(0);
  });
});

test("a raw body is streamed as it comes, with its status and headers", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(50_000));
  const { http } = serve(
    () =>
      new Response(bytes, { status: 206, headers: { "content-type": "image/png", "x-a": "1" } }),
  );
  const response = await http.fetch("/view");
  expect(response.status).toBe(206);
  expect(response.headers.get("content-type")).toBe("image/png");
  expect(response.headers.get("x-a")).toBe("1");
  expect(await response.bytes()).toEqual(bytes);
});

test("a reader who stops early closes the connection", async () => {
  let gone = false;
  const { http } = serve((request) => {
    request.signal.addEventListener("abort", () => {
      gone = true;
    });
    return new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(1_000)),
      }),
    );
  });
  const response = await http.fetch("/endless");
  for await (const piece of response.body!) {
    if (piece.byteLength > 0) break;
  }
  while (!gone) await new Promise((turn) => setTimeout(turn, 1));
});
