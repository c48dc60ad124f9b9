"""Real Gradio servers whose interfaces are those of known programs, and whose work is a short tone.

`python twin.py a.json b.json` reads captured signatures (tests/fixtures/gradio), builds each with
the components, names, defaults, choices, ranges, State inputs and generator flag that were captured,
and serves every one on a loopback port of its own. It speaks JSON lines: on standard output "ready"
with the ports, then every call and every run; on standard input {"release": name}, which ends
whatever hangs there. It ends with its standard input.

Words in the text inputs steer the work, as in every stand-in: steps=N, fail, oom, hang,
null-output, slow-start.
"""

import asyncio
import inspect
import json
import os
import re
import socket
import sys
import tempfile
import threading
from pathlib import Path

import fastapi
import gradio as gr
import uvicorn

from apps import App, run_of

MAJOR = int(gr.__version__.split(".")[0])
# What a page shows and a client cannot send or fetch is enough as an empty place.
LAYOUT = {"row": gr.Row, "column": gr.Column, "button": gr.Button}
NO_LABEL = re.compile(r"^(parameter|value)_\d+$")
NOTHING = inspect.Parameter.empty
RANGE = re.compile(r"numeric value between (\S+) and (\S+)")


def component(kind: str, described: dict | None = None):
    """A component of this kind; `described` is its entry among the parameters or the returns."""
    described = described or {}
    label = described.get("label", "")
    named = {} if NO_LABEL.match(label) or not label else {"label": label}
    shape = described.get("type", {})
    value = {}
    if described.get("parameter_default") is not None:
        value = {"value": described["parameter_default"]}
    if kind in LAYOUT:
        return LAYOUT[kind]()
    if kind == "state":
        return gr.State({})
    if kind == "slider":
        low, high = RANGE.search(shape.get("description", "")).groups()
        return gr.Slider(json.loads(low), json.loads(high), **named, **value)
    if kind in ("radio", "dropdown"):
        make = gr.Radio if kind == "radio" else gr.Dropdown
        return make(shape["enum"], **named, **value)
    if kind == "number":
        whole = {"precision": 0} if shape.get("type") == "integer" else {}
        return gr.Number(**named, **value, **whole)
    if kind == "audio":
        return gr.Audio(type="filepath", **named)
    if kind == "file":
        return gr.File(file_count="multiple", **named)
    return getattr(gr, kind.capitalize())(**named, **value)


def add_endpoint(app: App, described: dict, dependency: dict) -> None:
    """One function of the interface, with inputs and outputs of its own."""
    parameters = iter(described["parameters"])
    inputs, names = [], []
    for place, kind in enumerate(dependency["inputs"]):
        entry = None if kind == "state" else next(parameters)
        inputs.append(app.state if kind == "state" else component(kind, entry))
        names.append((f"state_{place}" if entry is None else entry["parameter_name"], entry))
    returns = iter(described["returns"])
    # What is in no list of returns is a part of the page: a button, a row, a state.
    hidden = {"button", "row", "column", "state"}
    outputs = [
        component(kind, None if kind in hidden else next(returns))
        for kind in dependency["outputs"]
    ]
    function = with_names(run_of(app, dependency), names, app.progress(dependency))
    visible = {"api_visibility": "public"} if MAJOR >= 6 else {}
    app.anchor.click(
        function,
        inputs,
        outputs,
        api_name=dependency["api_name"],
        queue=dependency["queue"],
        **visible,
    )


def with_names(run, names, progress):
    """Gradio reads the names of parameters, the empty defaults and gr.Progress from a signature."""

    def split(values):
        *given, bar = values if progress else (*values, None)
        return dict(zip((name for name, _ in names), given)), bar

    def function(*values):
        return run(*split(values))

    def generator(*values):
        yield from run(*split(values))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    listed = []
    for name, entry in names:
        empty = entry and entry["parameter_has_default"] and entry["parameter_default"] is None
        # Gradio takes None alone for "may be left out", and Python wants a default for everything
        # that follows the first one.
        others = ... if listed and listed[-1].default is not NOTHING else NOTHING
        listed.append(inspect.Parameter(name, kind, default=None if empty else others))
    if progress:
        listed.append(inspect.Parameter("progress", kind, default=gr.Progress()))
    chosen = generator if inspect.isgeneratorfunction(run) else function
    chosen.__signature__ = inspect.Signature(listed)
    return chosen


def build(app: App, signature: dict) -> gr.Blocks:
    endpoints = signature["info"]["named_endpoints"]
    with gr.Blocks() as blocks:
        app.state = gr.State({})
        app.anchor = gr.Button("run")
        for dependency in signature["dependencies"]:
            described = endpoints.get(f"/{dependency['api_name']}")
            # Absent from the list of endpoints: it serves the page alone.
            if described is not None:
                add_endpoint(app, described, dependency)
    return blocks


def recorded(app: App, inner):
    """Tells every call; the port in Host says through which door it came."""

    async def call(scope, receive, send):
        if scope["type"] != "http":
            return await inner(scope, receive, send)
        host = dict(scope["headers"]).get(b"host", b"").decode()
        app.tell({"call": f"{scope['method']} {scope['path']}", "host": host})
        await inner(scope, receive, send)
        if scope["path"].endswith("/queue/data") and app.active > 0:
            app.tell({"stopped": "the client went away"})

    return call


async def serve(apps: dict[str, tuple[App, gr.Blocks]]) -> None:
    servers, ports, sockets = [], {}, []
    for name, (app, blocks) in apps.items():
        outer = fastapi.FastAPI(openapi_url=None)
        show_error = os.environ.get("TWIN_SHOW_ERROR") != "0"
        outer = gr.mount_gradio_app(outer, blocks, path="/", show_error=show_error)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        ports[name] = listener.getsockname()[1]
        sockets.append(listener)
        settings = uvicorn.Config(recorded(app, outer), log_level="warning")
        servers.append(uvicorn.Server(settings))
    running = [
        asyncio.ensure_future(server.serve(sockets=[listener]))
        for server, listener in zip(servers, sockets)
    ]
    while not all(server.started for server in servers):
        if any(task.done() for task in running):
            raise SystemExit("a server ended before it was ready")
        await asyncio.sleep(0.02)
    App.write({"ready": ports, "gradio": gr.__version__})
    await asyncio.gather(*running)


def listen(apps: dict[str, tuple[App, gr.Blocks]]) -> None:
    for line in sys.stdin:
        name = json.loads(line)["release"]
        threading.Thread(target=apps[name][0].release, daemon=True).start()
    os._exit(0)


def main(paths: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="twin-"))
    apps = {}
    for path in paths:
        signature = json.loads(Path(path).read_text())
        app = App(Path(path).stem, folder)
        apps[app.name] = (app, build(app, signature))
    threading.Thread(target=listen, args=(apps,), daemon=True).start()
    asyncio.run(serve(apps))


if __name__ == "__main__":
    main(sys.argv[1:])
