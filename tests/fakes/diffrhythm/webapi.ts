/** mgraffam/DiffRhythm-webapi: one job behind a lock, and no word of what went wrong. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { type Behind, readForm, type Submission, styleOf, type Work } from "./work.ts";

const SAVE_MS = 30;
const name = (): string => randomUUID().replaceAll("-", "");

/** Python's own page for errors. */
function page(status: number, text: string): Response {
  const body = `<!DOCTYPE HTML><title>Error response</title><p>Message: ${text}.</p>`;
  return new Response(body, { status, headers: { "content-type": "text/html;charset=utf-8" } });
}

export function createWebapi(work: Work, note: (one: Submission) => void): Behind {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let current: { readonly id: string; readonly file: string } | undefined;
  let isLocked = false;
  let life = 0;

  async function submit(request: Request): Promise<Response> {
    if (isLocked)
      return Response.json({ error: "Server is busy with another generation" }, { status: 503 });
    isLocked = true;
    const fields = await readForm(request);
    const problem = problemOf(fields);
    if (problem !== undefined) {
      isLocked = false;
      return page(400, `Bad Request: ${problem}`);
    }
    note(fields);
    const job = { id: name(), file: `${name()}.wav` };
    void begin(job, fields);
    const url = `/output/${job.file}`;
    return Response.json({ status: "accepted", url, job_id: job.id }, { status: 202 });
  }

  async function begin(job: { id: string; file: string }, fields: Submission): Promise<void> {
    const born = life;
    current = job;
    try {
      // A lyrics file would be bytes, which its code cannot split: that too fails in silence.
      if (fields["lrc.text"] !== undefined) throw new Error("a bytes-like object is required");
      const song = await work.run(styleOf(fields));
      if (song !== undefined && born === life) {
        files.set(job.file, song.slice(0, song.length / 2));
        await delay(SAVE_MS);
        files.set(job.file, song);
      }
    } catch {
      // It prints the error, and nobody hears of it.
    }
    if (born !== life) return;
    current = undefined;
    isLocked = false;
  }

  function output(file: string): Response {
    const song = files.get(file);
    // Also a song of which half is written.
    if (song !== undefined) return new Response(song, { headers: { "content-type": "audio/wav" } });
    if (current?.file !== file) return page(404, "File not found");
    return Response.json({
      status: "processing",
      job_id: current.id,
      message: "File is being generated",
    });
  }

  return {
    restart() {
      life += 1;
      current = undefined;
      isLocked = false;
    },
    async answer(request, { pathname }) {
      if (request.method === "POST" && pathname === "/generate") return submit(request);
      if (pathname === "/status") {
        return Response.json(
          current === undefined
            ? { status: "idle", message: "No active generation" }
            : {
                status: "processing",
                job_id: current.id,
                elapsed_seconds: 0.1,
                filename: current.file,
              },
        );
      }
      if (pathname === "/files") {
        const prefix = { download_prefix: "/output/", current_job: null };
        return Response.json({ available_files: [...files.keys()], count: files.size, ...prefix });
      }
      const file = /^\/output\/(.+)$/.exec(pathname)?.[1];
      return file === undefined ? page(404, "Not Found") : output(file);
    },
  };
}

function problemOf({ ref_prompt, ref_audio }: Submission): string | undefined {
  if (!ref_prompt && !ref_audio) return "ref_prompt or ref_audio required";
  return ref_prompt && ref_audio ? "Only one of ref_prompt or ref_audio allowed" : undefined;
}
