/** Server-sent events, however a network cuts them. */
import { describe, expect, test } from "bun:test";
import { sse } from "../../../core/sdk/sse.ts";

function response(...pieces: (string | Uint8Array)[]): Response {
  const encoder = new TextEncoder();
  return new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces) {
          controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
        }
        controller.close();
      },
    }),
  );
}

async function all(given: Response, maxEvent?: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const { event, data } of sse(given, maxEvent)) seen.push(`${event}=${data}`);
  return seen;
}

describe("a stream of events", () => {
  test("is read event by event, with every kind of line end", async () => {
    const text = "data: one\n\nevent: two\r\ndata: a\r\ndata: b\r\n\r\ndata:three\n\n";
    expect(await all(response(text))).toEqual(["message=one", "two=a\nb", "message=three"]);
  });

  test("is the same when each byte comes alone, in the middle of a character too", async () => {
    const bytes = new TextEncoder().encode("data: grüße 🎵\n\nevent: x\ndata: 2\n\n");
    const pieces = [...bytes].map((byte) => new Uint8Array([byte]));
    expect(await all(response(...pieces))).toEqual(["message=grüße 🎵", "x=2"]);
  });

  test("passes over comments, unknown fields and events without data", async () => {
    const text = ": ping\n\nretry: 5\n\nid: 7\ndata: x\n\n";
    expect(await all(response(text))).toEqual(["message=x"]);
  });

  test("has no event without the empty line after it", async () => {
    expect(await all(response("data: one\n\ndata: cut"))).toEqual(["message=one"]);
  });

  test("ends with an error when a line has no end", async () => {
    const error = await all(response("data: ", "x".repeat(600), "x".repeat(600)), 1_000).catch(
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
  });

  test("ends with an error when many lines make one endless event", async () => {
    const lines = Array.from({ length: 200 }, () => `data: ${"x".repeat(50)}\n`);
    const error = await all(response(...lines), 1_000).catch((reason) => reason);
    expect(error).toMatchObject({ code: "BACKEND_BAD_OUTPUT" });
  });

  test("is closed by who leaves it early", async () => {
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
      cancel() {
        cancelled = true;
      },
    });
    for await (const { data } of sse(new Response(body))) {
      expect(data).toBe("x");
      break;
    }
    expect(cancelled).toBe(true);
  });
});
