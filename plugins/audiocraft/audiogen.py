"""Makes one sound with AudioGen, which has no program of its own, and ends.

`python audiogen.py request.json folder`: the request has prompt, model, duration_seconds, seed and
cfg, top_k, top_p, temperature where they are not the model's own. The sound is folder/audio.wav.
Prints "loading", then "step N of M", then "saving". The GPU is free when it ends.
"""

import json
import sys
from pathlib import Path

GIVEN = {"cfg": "cfg_coef", "top_k": "top_k", "top_p": "top_p", "temperature": "temperature"}


def main(request_file: str, folder: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    print("loading", request["model"], flush=True)

    import torch
    from audiocraft.data.audio import audio_write
    from audiocraft.models import AudioGen

    model = AudioGen.get_pretrained(request["model"])
    seconds = request["duration_seconds"]
    chosen = {name: request[field] for field, name in GIVEN.items() if field in request}
    model.set_generation_params(duration=seconds, **chosen)
    # The callback's own total is that of a part, when the sound is longer than 10 seconds.
    total = max(1, int(seconds * model.frame_rate))

    def step(done: int, _of: int) -> None:
        print(f"step {min(done, total)} of {total}", flush=True)

    model.set_custom_progress_callback(step)
    torch.manual_seed(request["seed"])
    sounds = model.generate([request["prompt"]], progress=True)
    print("saving", flush=True)
    audio_write(
        str(Path(folder) / "audio"),
        sounds[0].cpu(),
        model.sample_rate,
        strategy="loudness",
        loudness_compressor=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
