"""The models of the bench: sizes of real ones, random weights."""

import json
import pathlib

ROPE_THETA, EPSILON = 500000.0, 1e-5
# What decides speed: layers, sizes, how many heads share a KV head.
SHAPES = {
    "llama-8b": dict(layers=32, hidden=4096, inner=14336, heads=32, kv_heads=8, vocabulary=128256),
    "tiny": dict(layers=2, hidden=256, inner=512, heads=4, kv_heads=2, vocabulary=32768),  # to try the bench itself
    "qwen-7b": dict(layers=28, hidden=3584, inner=18944, heads=28, kv_heads=4, vocabulary=152064),
}


def write_model(folder: pathlib.Path, shape: dict) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "num_hidden_layers": shape["layers"], "hidden_size": shape["hidden"], "intermediate_size": shape["inner"],
        "num_attention_heads": shape["heads"], "num_key_value_heads": shape["kv_heads"],
        "head_dim": head_dim(shape), "vocab_size": shape["vocabulary"],
        "max_position_embeddings": 65536, "rope_theta": ROPE_THETA, "rms_norm_eps": EPSILON, "hidden_act": "silu",
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    }))  # fmt: skip
    return str(folder)


def head_dim(shape: dict) -> int:
    return shape["hidden"] // shape["heads"]


def token_bytes(shape: dict) -> int:
    """Of a token's keys and values in bf16."""
    return shape["layers"] * 2 * shape["kv_heads"] * head_dim(shape) * 2
