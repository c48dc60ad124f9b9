"""Writes a llama model of random weights (about half a megabyte), so that a real Ollama has something
to load on any machine. It speaks nonsense; its tokens, streams and vectors are real.

    pip install gguf numpy
    python tiny-gguf.py tiny.gguf
    printf 'FROM ./tiny.gguf\n' > Modelfile && ollama create tiny -f Modelfile
"""

import sys

import numpy
from gguf import GGUFWriter, LlamaFileType, TokenType

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 128, 512
SPACE = "\u2581"  # what a SentencePiece vocabulary writes for a blank
WORDS = "train track yard signal switch engine car load wait run".split()

# Bytes as tokens of their own make every text representable.
VOCABULARY = (
    [("<unk>", TokenType.UNKNOWN), ("<s>", TokenType.CONTROL), ("</s>", TokenType.CONTROL)]
    + [(f"<0x{byte:02X}>", TokenType.BYTE) for byte in range(256)]
    + [(SPACE + word, TokenType.NORMAL) for word in WORDS]
    + [(letter, TokenType.NORMAL) for letter in SPACE + "abcdefghijklmnopqrstuvwxyz"]
)


def describe(writer: GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text.encode() for text, _ in VOCABULARY])
    writer.add_token_types([kind for _, kind in VOCABULARY])
    writer.add_token_scores([0.0] * len(VOCABULARY))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")


def fill(writer: GGUFWriter) -> None:
    random = numpy.random.default_rng(7)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = random.normal(0.0, 0.05, (rows, columns))
        writer.add_tensor(f"{name}.weight", values.astype(numpy.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(WIDTH, numpy.float32))

    matrix("token_embd", len(VOCABULARY), WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{name}", WIDTH, WIDTH)
        norm(f"{block}.ffn_norm")
        matrix(f"{block}.ffn_gate", FEED_FORWARD, WIDTH)
        matrix(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
        matrix(f"{block}.ffn_down", WIDTH, FEED_FORWARD)
    norm("output_norm")
    matrix("output", len(VOCABULARY), WIDTH)


def main(path: str) -> None:
    writer = GGUFWriter(path, "llama")
    describe(writer)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
