"""A real MCP server with WanGP's tool names and our own functions behind them.

It shows what the protocol's own package does with errors, results and foreign names of hosts; what
WanGP would compute is chosen by words in the prompt, as in every stand-in of these tests. It says
on standard output, as one JSON object a line, on which port it listens and what was asked. A line
on standard input ends all jobs; it says when they have ended.
"""

import json
import logging
import re
import socket
import sys
import threading
import time
import uuid
from typing import Any

from starlette.responses import JSONResponse, Response

try:
    from mcp.server.fastmcp import FastMCP

    HOW: dict[str, Any] = {}
except ModuleNotFoundError:
    # Since version 2 of the package another name, and the settings go to `run`.
    from mcp.server.mcpserver import MCPServer as FastMCP

    HOW = {"host": "127.0.0.1", "json_response": True, "stateless_http": True}

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "606060000000050001a5f645400000000049454e44ae426082"
)
MP4 = bytes.fromhex("000000186674797069736f6d0000020069736f6d6d703432") + b"\0\0\0\x10mdat" + b"x" * 8
OUTPUTS = {"t2v_1.3B": "video", "i2v_2_2": "video", "z_image": "image"}


SAYING = threading.Lock()


def say(**message: Any) -> None:
    # Several threads speak; a line must stay whole.
    with SAYING:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


class Job:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.id = uuid.uuid4().hex
        self.settings = settings
        self.created = self.updated = time.time()
        self.events: list[dict[str, Any]] = []
        self.result: dict[str, Any] | None = None
        self.cancel = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def note(self, phase: str, step: int, steps: int) -> None:
        data = {"phase": phase, "status": phase, "progress": 20 + 65 * step // max(steps, 1),
                "current_step": step, "total_steps": steps, "raw_phase": phase, "unit": None}
        self.events.append({"kind": "progress", "timestamp": time.time(), "data": data})
        self.updated = time.time()

    def end(self, files: list[str], error: str = "", stage: str = "generation") -> None:
        errors = [] if not error else [
            {"message": error, "task_index": 1, "task_id": 1, "stage": stage, "cancelled": stage == "cancelled"}
        ]
        self.result = {
            "success": not errors, "cancelled": stage == "cancelled", "generated_files": files,
            "errors": errors, "total_tasks": 1, "successful_tasks": 0 if errors else 1,
            "failed_tasks": len(errors), "artifacts": [],
        }
        self.updated = time.time()

    def run(self) -> None:
        prompt = str(self.settings.get("prompt", ""))
        words = set(re.split(r"[\s,;.]+", prompt.lower()))
        found = re.search(r"\bsteps=(\d{1,4})\b", prompt)
        steps = int(found.group(1)) if found else 3
        if "slow-start" in words:
            time.sleep(0.3)
        self.note("loading_model", 0, 0)
        step = 0
        while step < steps or "hang" in words:
            time.sleep(0.01)
            step += 1
            self.note("inference", min(step, steps), steps)
            if self.cancel.is_set():
                say(stopped=True)
                return self.end([], "Generation was cancelled", "cancelled")
        if "fail" in words:
            return self.end([], "the model exploded")
        if "oom" in words:
            return self.end([], "it is likely that you have unsufficient VRAM")
        if "null-output" in words:
            return self.end([])
        kind = OUTPUTS.get(str(self.settings["model_type"]), "video")
        path = f"/nowhere/{self.id}.{'png' if kind == 'image' else 'mp4'}"
        GALLERY[f"visual:{self.id[:12]}"] = (path, kind, PNG if kind == "image" else MP4)
        self.end([path])

    def snapshot(self, event_limit: int | None) -> dict[str, Any]:
        result = None if self.result is None else dict(self.result)
        if result is not None:
            made = set(result["generated_files"])
            result["gallery_items"] = [
                {"gallery_id": key, "gallery": "visual", "path": path, "media_type": kind,
                 "settings": {"seed": 7}}
                for key, (path, kind, _) in list(GALLERY.items()) if path in made
            ]
        limit = 20 if event_limit is None else event_limit
        return {
            "job_id": self.id, "done": result is not None, "cancel_requested": self.cancel.is_set(),
            "webui_submission_ready": False, "webui_load_queue_token": "",
            "created_at": self.created, "updated_at": self.updated,
            "events": self.events[-limit:] if limit else [], "result": result,
        }


GALLERY: dict[str, tuple[str, str, bytes]] = {}
JOBS: dict[str, Job] = {}
UPLOADS: dict[str, str] = {}
DOWNLOADS: dict[str, str] = {}

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
logging.disable(logging.CRITICAL)
mcp = FastMCP("WanGP", **({} if HOW else {"host": "127.0.0.1", "port": port, "json_response": True, "stateless_http": True}))


def metadata(model_type: str) -> dict[str, Any] | None:
    if model_type not in OUTPUTS:
        return None
    kind = OUTPUTS[model_type]
    images = {"start": model_type == "i2v_2_2", "end": False, "reference": False}
    return {"model_type": model_type, "name": model_type, "family": "wan", "main_output": [kind],
            "outputs": [kind], "inputs": ["text", "image"], "media_inputs": {"image": images},
            "fps": 16, "frames_minimum": 5, "frames_steps": 4}


@mcp.tool()
def wangp_list_models(limit: int = 10, offset: int = 0, include_availability: bool = False) -> list[dict[str, Any]]:
    return [metadata(name) or {} for name in list(OUTPUTS)[offset:offset + min(limit, 10)]]


@mcp.tool()
def wangp_get_model_schema(model_type: str) -> dict[str, Any] | None:
    found = metadata(model_type)
    return None if found is None else {"metadata": found}


@mcp.tool()
def wangp_get_model_availability(model_type: str) -> dict[str, Any]:
    if model_type not in OUTPUTS:
        raise ValueError(f"Unknown model_type: {model_type}")
    return {"model_type": model_type, "status": "available", "available": True}


@mcp.tool()
def wangp_get_default_settings(model_type: str) -> dict[str, Any]:
    return {"model_type": model_type, "prompt": "", "guidance_scale": 5, "flow_shift": 3, "sample_solver": "unipc"}


@mcp.tool()
def wangp_generate(source: dict[str, Any] | list[dict[str, Any]], wait: bool = False, timeout_s: float | None = None, event_limit: int | None = None) -> dict[str, Any]:
    say(call="wangp_generate", source=source)
    if any(job.result is None for job in list(JOBS.values())):
        raise RuntimeError("WanGP session already has a generation in progress")
    assert isinstance(source, dict)
    for key in ("image_start", "image_end"):
        if source.get(key) and source[key] not in GALLERY:
            raise PermissionError(f"Direct filesystem paths are disabled for this MCP server. Use a Gallery id for {key}.")
    job = Job(source)
    JOBS[job.id] = job
    return job.snapshot(event_limit)


@mcp.tool()
def wangp_get_job(job_id: str, event_limit: int | None = None) -> dict[str, Any]:
    if job_id not in JOBS:
        raise KeyError(f"Unknown WanGP job_id: {job_id}")
    return JOBS[job_id].snapshot(event_limit)


@mcp.tool()
def wangp_cancel_job(job_id: str, event_limit: int | None = None) -> dict[str, Any]:
    say(call="wangp_cancel_job")
    JOBS[job_id].cancel.set()
    return JOBS[job_id].snapshot(event_limit)


@mcp.tool()
def wangp_create_gallery_upload(filename: str) -> dict[str, Any]:
    token = uuid.uuid4().hex
    UPLOADS[token] = filename
    return {"upload_url": f"/wangp_api/gallery/upload/{token}", "method": "PUT", "filename": filename,
            "expires_in_seconds": 600, "max_bytes": 8 * 1024**3}


@mcp.tool()
def wangp_create_gallery_download(gallery_id: str) -> dict[str, Any]:
    path, kind, content = GALLERY[gallery_id]
    token = uuid.uuid4().hex
    DOWNLOADS[token] = gallery_id
    return {"gallery_id": gallery_id, "download_url": f"/wangp_api/gallery/download/{token}",
            "filename": path.rsplit("/", 1)[1], "media_type": kind, "size": len(content), "expires_in_seconds": 600}


@mcp.custom_route("/wangp_api/gallery/upload/{token}", methods=["PUT"])
async def upload(request):
    filename = UPLOADS.pop(request.path_params["token"], None)
    if filename is None:
        return JSONResponse({"error": "Upload expired or not found."}, status_code=404)
    content = await request.body()
    key = f"visual:{uuid.uuid4().hex[:12]}"
    GALLERY[key] = (f"/nowhere/{filename}", "image", content)
    say(upload=filename, bytes=len(content))
    return JSONResponse({"status": "uploaded", "size": len(content), "gallery_id": key})


@mcp.custom_route("/wangp_api/gallery/download/{token}", methods=["GET"])
async def download(request):
    key = DOWNLOADS.pop(request.path_params["token"], None)
    if key is None:
        return JSONResponse({"error": "Download expired or not found."}, status_code=404)
    path, kind, content = GALLERY[key]
    return Response(content, media_type="image/png" if kind == "image" else "video/mp4")


def listen() -> None:
    for _ in sys.stdin:
        # A call that is still on its way may begin another one.
        while working := [job for job in list(JOBS.values()) if job.result is None]:
            for job in working:
                job.cancel.set()
            time.sleep(0.005)
        say(idle=True)


def announce() -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return say(port=port)
        except OSError:
            time.sleep(0.02)


if __name__ == "__main__":
    threading.Thread(target=listen, daemon=True).start()
    threading.Thread(target=announce, daemon=True).start()
    mcp.run(transport="streamable-http", **({**HOW, "port": port} if HOW else {}))
