/** ruess/DiffRhythm-with-API: tasks in folders, each with a text file that says how it is. */
import { randomUUID } from "node:crypto";
import { type Behind, readForm, type Submission, styleOf, type Work } from "./work.ts";

interface Task {
  status: string;
  progress?: number;
  error?: string;
  song?: Uint8Array<ArrayBuffer>;
  /** How often it is still read in the middle of a rewrite. */
  torn: number;
}

const detail = (status: number, text: string): Response =>
  Response.json({ detail: text }, { status });

export function createApi(work: Work, note: (one: Submission) => void): Behind {
  const tasks = new Map<string, Task>();
  let life = 0;

  async function submit(request: Request): Promise<Response> {
    const fields = await readForm(request);
    const { lyrics, ref_audio, ref_prompt, audio_length = "95" } = fields;
    if (lyrics === undefined || fields["lyrics.text"] === undefined) {
      return Response.json(
        { detail: [{ loc: ["body", "lyrics"], msg: "Field required" }] },
        { status: 422 },
      );
    }
    if (!ref_audio && !ref_prompt)
      return detail(400, "Either ref_audio or ref_prompt must be provided");
    if (ref_audio && ref_prompt) return detail(400, "Only one of them should be provided");
    if (Number(audio_length) < 95 || Number(audio_length) > 285) {
      return detail(400, "Audio length must be 95 or between 96-285 seconds");
    }
    note(fields);
    const id = randomUUID();
    const task: Task = { status: "created", torn: 1 };
    tasks.set(id, task);
    void begin(id, task, styleOf(fields));
    return Response.json({ task_id: id, status: "queued", message: "queued successfully" });
  }

  async function begin(id: string, task: Task, style: string): Promise<void> {
    const born = life;
    // The file is gone after a delete; then what the task says reaches nobody.
    const say = (news: Partial<Task>): void => {
      if (born === life && tasks.has(id)) Object.assign(task, news);
    };
    say({ status: "processing", progress: 10 });
    try {
      const song = await work.run(style);
      say({ status: "completed", progress: 100, song });
    } catch (error) {
      say({ status: "failed", error: `Error in generation task: ${(error as Error).message}` });
    }
  }

  function tell(id: string, task: Task): Response {
    const rest = { task_id: id, message: null, created_at: null, completed_at: null };
    if (task.torn > 0) {
      task.torn -= 1;
      return Response.json({ ...rest, status: "unknown", progress: null, error: null });
    }
    const { status, progress = null, error = null } = task;
    return Response.json({ ...rest, status, progress, error });
  }

  return {
    // A task that ran then says "processing" for ever.
    restart() {
      life += 1;
    },
    async answer(request, { pathname }) {
      const [, , verb = "", id = ""] = pathname.split("/");
      const task = tasks.get(id);
      switch (`${request.method} ${verb}`) {
        case "GET health":
          return Response.json({ status: "healthy", message: "running", version: "1.0.0" });
        case "POST generate":
          return submit(request);
        case "GET status":
          return task === undefined ? detail(404, "Task not found") : tell(id, task);
        case "GET download":
          if (task === undefined) return detail(404, "Task not found");
          if (task.status !== "completed") return detail(400, `Task is not completed yet.`);
          if (task.song === undefined) return detail(404, "Output file not found");
          return new Response(task.song, { headers: { "content-type": "audio/wav" } });
        case "DELETE tasks":
          tasks.delete(id);
          return Response.json({ message: `Task ${id} deleted successfully` });
        default:
          return pathname === "/openapi.json" ? Response.json(OPENAPI) : detail(404, "Not Found");
      }
    },
  };
}

const OPENAPI = {
  openapi: "3.1.0",
  info: { title: "DiffRhythm API", version: "1.0.0" },
  paths: {
    "/": {},
    "/api/health": {},
    "/api/generate": {},
    "/api/edit": {},
    "/api/status/{task_id}": {},
    "/api/download/{task_id}": {},
    "/api/tasks/{task_id}": {},
  },
};
