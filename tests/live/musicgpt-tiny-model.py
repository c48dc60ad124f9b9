"""
Writes a data folder with which a real MusicGPT runs without downloading anything: three tiny ONNX
graphs of the shapes that it expects, which make noise, and a tokenizer of a few words.

    pip install onnx numpy tokenizers && npm pack onnxruntime-node@1.20.1 && tar xzf onnxruntime-node-*.tgz
    python musicgpt-tiny-model.py DATA package/bin/napi-v3/linux/x64/libonnxruntime.so.1.20.1
    XDG_DATA_HOME=HOME musicgpt --ui-port 8642     (0.3.27: DATA is HOME/musicgpt)
    musicgpt --data-path DATA --ui-port 8642       (0.3.28)

A token takes some milliseconds (WORK x WORK numbers are multiplied), so that 30 seconds of audio take
long enough to watch progress and to cancel.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

HEADS, KEY_SIZE, HIDDEN, CODES, PAD, WORK = 1, 8, 8, 64, 2048, 384
SAMPLES_PER_TOKEN = 640  # 32,000 Hz / 50 tokens per second


def constant(name, values, kind=np.int64):
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def save(path, nodes, inputs, outputs, constants):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, path.stem, [info(*i) for i in inputs], [info(*o) for o in outputs], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def text_encoder(path):
    node = helper.make_node
    save(
        path,
        [
            node("Mul", ["input_ids", "attention_mask"], ["masked"]),
            node("Cast", ["masked"], ["numbers"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["numbers", "last"], ["column"]),
            node("Mul", ["column", "row"], ["last_hidden_state"]),
        ],
        [
            ("input_ids", TensorProto.INT64, [1, "length"]),
            ("attention_mask", TensorProto.INT64, [1, "length"]),
        ],
        [("last_hidden_state", TensorProto.FLOAT, [1, "length", HIDDEN])],
        [constant("last", [2]), constant("row", [[[0.01] * HIDDEN]], np.float32)],
    )


def decoder(path):
    """Every code is as likely as any other. What was given as past comes back as present."""
    node = helper.make_node
    past = [f"{side}.{part}" for side in ("decoder", "encoder") for part in ("key", "value")]
    cache = [1, HEADS, "past", KEY_SIZE]
    save(
        path,
        [
            node("RandomNormal", [], ["left"], shape=[WORK, WORK]),
            node("RandomNormal", [], ["right"], shape=[WORK, WORK]),
            node("MatMul", ["left", "right"], ["work"]),
            node("ReduceMean", ["work"], ["mean"], keepdims=0),
            node("Mul", ["mean", "nothing"], ["still"]),
            node("Add", ["even", "still"], ["logits"]),
            *[
                node("Identity", [f"past_key_values.0.{name}"], [f"present.0.{name}"])
                for name in past
            ],
        ],
        [
            ("encoder_attention_mask", TensorProto.INT64, [2, "length"]),
            ("encoder_hidden_states", TensorProto.FLOAT, [2, "length", HIDDEN]),
            ("input_ids", TensorProto.INT64, [8, 1]),
            ("use_cache_branch", TensorProto.BOOL, [1]),
            *[(f"past_key_values.0.{name}", TensorProto.FLOAT, cache) for name in past],
        ],
        [
            ("logits", TensorProto.FLOAT, [8, 1, CODES]),
            *[(f"present.0.{name}", TensorProto.FLOAT, cache) for name in past],
        ],
        [
            constant("nothing", 0.0, np.float32),
            constant("even", np.zeros((8, 1, CODES)), np.float32),
        ],
    )


def encodec(path):
    """Each token's mean code, held for as long as a token lasts."""
    node = helper.make_node
    save(
        path,
        [
            node("Cast", ["audio_codes"], ["numbers"], to=TensorProto.FLOAT),
            node("ReduceMean", ["numbers"], ["level"], axes=[2], keepdims=0),
            node("Unsqueeze", ["level", "last"], ["column"]),
            node("Mul", ["column", "row"], ["held"]),
            node("Reshape", ["held", "flat"], ["audio_values"]),
        ],
        [("audio_codes", TensorProto.INT64, [1, 1, 4, "tokens"])],
        [("audio_values", TensorProto.FLOAT, [1, 1, "samples"])],
        [
            constant("last", [3]),
            constant("row", [[[[1 / PAD] * SAMPLES_PER_TOKEN]]], np.float32),
            constant("flat", [1, 1, -1]),
        ],
    )


def main(data, library):
    words = "a the calm slow train rolls through night jazz piano drums and rain".split()
    vocabulary = {word: place for place, word in enumerate(["<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    small, graphs = data / "v1" / "small", data / "v1" / "small_fp32"
    small.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(small / "tokenizer.json"))
    (small / "config.json").write_text(
        json.dumps(
            {
                "audio_encoder": {"sampling_rate": 32_000},
                "decoder": {
                    "num_attention_heads": HEADS,
                    "num_hidden_layers": 1,
                    "top_k": CODES,
                    "pad_token_id": PAD,
                },
                "text_encoder": {"d_kv": KEY_SIZE},
            }
        )
    )
    text_encoder(graphs / "text_encoder.onnx")
    decoder(graphs / "decoder_model_merged.onnx")
    encodec(graphs / "encodec_decode.onnx")
    folder = data / "dynlibs" / "1.20.1" / "onnxruntime-linux-x64-1.20.1" / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(library, folder / "libonnxruntime.so")


main(Path(sys.argv[1]), Path(sys.argv[2]))
