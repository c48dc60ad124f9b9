"""What the programs do behind their interfaces, as far as a client can tell the difference."""

import json
import math
import re
import struct
import sys
import threading
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from PIL import Image

STEP_S = 0.05
SLOW_START_S = 0.5
# "hang" is bounded: a twin that a test forgot must not compute for ever.
LONGEST_HANG_S = 120
LONGEST_TONE_S = 2
WITH_PROGRESS = {"predict_full", "generate_song"}
MAIN = {"generate", "predict_full", "generate_song"}
_writing = threading.Lock()


@dataclass
class App:
    name: str
    folder: Path
    state: gr.State | None = None
    anchor: gr.Button | None = None
    # AudioCraft has one flag for all of its users; the next run clears it.
    interrupting: bool = False
    releases: int = 0
    active: int = 0
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def write(message: dict) -> None:
        with _writing:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def tell(self, message: dict) -> None:
        App.write({"app": self.name, **message})

    def progress(self, dependency: dict) -> bool:
        return dependency["api_name"] in WITH_PROGRESS

    def release(self) -> None:
        """Ends what hangs; says "idle" when nothing runs any more."""
        with self.lock:
            self.releases += 1
        while self.active > 0:
            time.sleep(0.01)
        self.tell({"idle": True})

    def tone(self, seconds: float) -> str:
        """A WAV file of its own; the real programs overwrite output.wav, which no test could see."""
        with self.lock:
            self.made += 1
            folder = self.folder / f"{self.name}-{self.made}"
        folder.mkdir()
        rate = 8000
        samples = [
            round(8000 * math.sin(2 * math.pi * 440 * at / rate))
            for at in range(int(rate * min(max(seconds, 0.1), LONGEST_TONE_S)))
        ]
        path = folder / "output.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
        return str(path)


class Aborted(Exception):
    """Somebody asked the work to stop."""


@dataclass
class Behaviour:
    words: set[str]
    steps: int


def behaviour_of(values: dict) -> Behaviour:
    text = " ".join(value for value in values.values() if isinstance(value, str)).lower()
    steps = re.search(r"\bsteps=(\d{1,4})\b", text)
    return Behaviour(set(re.split(r"[\s,;.]+", text)), int(steps[1]) if steps else 3)


def run_of(app: App, dependency: dict):
    """The function behind one endpoint; it takes the inputs by name and the progress bar."""
    name = dependency["api_name"]
    if name == "generate":
        return lambda values, _bar: stable_audio(app, values)
    if name == "predict_full":
        return lambda values, bar: audiocraft(app, values, bar)
    if name == "generate_song":
        def song(values, bar):
            yield from yuegp(app, values, bar)

        return song
    if name == "infer_music":
        return lambda values, _bar: diffrhythm_space(app, values)
    if name == "run_generation":
        return lambda values, _bar: diffrhythm_web(app, values)
    if name == "interrupt":
        return lambda _values, _bar: interrupt(app)
    if name.startswith("abort_generation"):
        return lambda values, _bar: abort(app, state_of(values))
    if name == "refresh_gallery":
        return lambda values, _bar: gallery(state_of(values))
    # It serves the page: nothing changes.
    count = len(dependency["outputs"])
    return lambda _values, _bar: None if count < 2 else (None,) * count


def work(app: App, values: dict, bar, is_stopped, label: str) -> Behaviour:
    """The part that all share: takes its time, obeys the words, tells what it was given."""
    behaviour = behaviour_of(values)
    releases = app.releases
    app.tell({"run": {name: told(value) for name, value in values.items()}})
    if "slow-start" in behaviour.words:
        time.sleep(SLOW_START_S)
    if "oom" in behaviour.words:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if "fail" in behaviour.words:
        raise RuntimeError("the work failed, as it was asked to")
    for step in range(behaviour.steps):
        if is_stopped():
            raise Aborted
        if bar is not None:
            bar((step + 1, behaviour.steps), desc=label)
        time.sleep(STEP_S)
    end = time.monotonic() + LONGEST_HANG_S
    while "hang" in behaviour.words and app.releases == releases and time.monotonic() < end:
        if is_stopped():
            raise Aborted
        time.sleep(0.01)
    return behaviour


def told(value):
    """A value for the tests; of a file its name and size."""
    if isinstance(value, str) and Path(value).is_absolute() and Path(value).is_file():
        return {"name": Path(value).name, "bytes": Path(value).stat().st_size}
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__


class busy:
    """Counts the runs of an app, so that a test can wait for silence."""

    def __init__(self, app: App):
        self.app = app

    def __enter__(self):
        with self.app.lock:
            self.app.active += 1

    def __exit__(self, *_):
        with self.app.lock:
            self.app.active -= 1
        self.app.tell({"ended": True})


def stable_audio(app: App, values: dict):
    """No progress and no way to stop it; a spectrogram comes beside the sound."""
    with busy(app):
        behaviour = work(app, values, None, lambda: False, "")
        if "null-output" in behaviour.words:
            return None, None
        picture = app.folder / f"{app.name}.png"
        Image.new("RGB", (32, 16), (90, 20, 120)).save(picture)
        return app.tone(values["seconds_total"]), [str(picture)]


def audiocraft(app: App, values: dict, bar):
    """/interrupt sets a flag that the next token sees; Gradio 5 has no make_waveform any more."""
    with busy(app):
        app.interrupting = False
        # As the program does; null has no strip().
        values["model_path"].strip()
        try:
            behaviour = work(app, values, bar, lambda: app.interrupting, "Generating")
        except Aborted:
            raise gr.Error("Interrupted.") from None
        gr.make_waveform  # noqa: B018
        nothing = "null-output" in behaviour.words
        # The films of the waveform are left out: they need ffmpeg, and no plugin takes them.
        sound = None if nothing else app.tone(values.get("duration", 1))
        if "duration" in values:
            return None, sound, None, None
        return None, sound, None if nothing else app.tone(1)


def yuegp(app: App, values: dict, bar):
    """A generator that gives a word about the state, once at the end; songs are in the gallery."""
    state = state_of(values)
    state["abort"] = False
    with busy(app):
        stopped = lambda: state["abort"]  # noqa: E731
        try:
            behaviour = work(app, values, bar, stopped, "Stage 1: Generating Sequence 1 out of 1")
            if bar is not None:
                bar((1, 1), desc="Stage 2: Refining")
        except Aborted:
            yield "Song Generation Aborted"
            return
        if "null-output" not in behaviour.words:
            state["songs"] = [app.tone(1), *state.get("songs", [])]
        yield "Total Generation Time: 1s"


def diffrhythm_space(app: App, values: dict):
    """Silent to its end, and nothing stops it."""
    with busy(app):
        behaviour = work(app, values, None, lambda: False, "")
        return None if "null-output" in behaviour.words else app.tone(1)


def diffrhythm_web(app: App, values: dict):
    """As above; what went wrong is told as a success without a file."""
    with busy(app):
        try:
            behaviour = work(app, values, None, lambda: False, "")
        except RuntimeError as error:
            trace = f'Traceback (most recent call last):\n  File "/srv/server.py"\nRuntimeError: {error}'
            return f"Error: {error}\n\nTraceback:\n{trace}\n", None
        nothing = "null-output" in behaviour.words
        return "Generation complete!", None if nothing else app.tone(1)


def interrupt(app: App) -> None:
    app.interrupting = True
    app.tell({"stopped": "by /interrupt"})


def abort(app: App, state: dict) -> None:
    state["abort"] = True
    app.tell({"stopped": "by /abort_generation"})


def gallery(state: dict):
    songs = state.get("songs", [])
    return (songs[0] if songs else None), songs


def state_of(values: dict) -> dict:
    return next(value for name, value in values.items() if name.startswith("state_"))
