"""Makes a small DeepSeek-V2 with random weights: multi-head latent attention, whose output depends on every cached token.

    python tools/models/tiny_deepseek.py OUT_DIR [--seed N]

9.8 million parameters, 4,608 bytes of bfloat16 latent KV per token: 4 layers of 512 + 64 values. That, and heads of 128 + 64 and
128, are the sizes of DeepSeek-V2 and V3: vLLM's kernels, for CPUs and for GPUs, take no others. No experts. It shares the tiny
Llama's vocabulary and its reasons (tiny_llama.py), but not its gain of queries and keys: prompts and single tokens go through
different kernels, which round in different places, and with scores that wide the engine's own answers to the same question are
far apart.
"""

import json
import math
import pathlib

import numpy

from tiny_llama import BEGIN, END, LOGIT_GAIN, PADDING, ROPE_THETA, VOCABULARY, matrices, ones, write_model

LAYERS = 4
HIDDEN = 256
HEADS = 4
LATENT = 512
ROTARY = 64
NOPE = 128
VALUE = 128
FEED_FORWARD = 512
TOKENS_MAX = 8192


def make_weights(seed: int) -> dict[str, numpy.ndarray]:
    """Returns bfloat16 bit patterns by the names that DeepSeek checkpoints use; one seed, one result."""
    matrix = matrices(seed)
    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN, gain=math.sqrt(HIDDEN))}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        weights |= {
            prefix + "self_attn.q_proj.weight": matrix(HEADS * (NOPE + ROTARY), HIDDEN),
            prefix + "self_attn.kv_a_proj_with_mqa.weight": matrix(LATENT + ROTARY, HIDDEN),
            prefix + "self_attn.kv_a_layernorm.weight": ones(LATENT),
            prefix + "self_attn.kv_b_proj.weight": matrix(HEADS * (NOPE + VALUE), LATENT),
            prefix + "self_attn.o_proj.weight": matrix(HIDDEN, HEADS * VALUE),
            prefix + "mlp.gate_proj.weight": matrix(FEED_FORWARD, HIDDEN),
            prefix + "mlp.up_proj.weight": matrix(FEED_FORWARD, HIDDEN),
            prefix + "mlp.down_proj.weight": matrix(HIDDEN, FEED_FORWARD),
            prefix + "input_layernorm.weight": ones(HIDDEN),
            prefix + "post_attention_layernorm.weight": ones(HIDDEN),
        }
    weights["model.norm.weight"] = ones(HIDDEN)
    weights["lm_head.weight"] = matrix(VOCABULARY, HIDDEN, LOGIT_GAIN)
    return weights


def write_config(out_dir: pathlib.Path) -> None:
    config = {
        "architectures": ["DeepseekV2ForCausalLM"],
        "model_type": "deepseek_v2",
        "dtype": "bfloat16",
        "num_hidden_layers": LAYERS,
        "first_k_dense_replace": LAYERS,  # no layer has experts
        "n_routed_experts": 2,
        "n_shared_experts": 1,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": 32,
        "moe_layer_freq": 1,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "q_lora_rank": None,
        "kv_lora_rank": LATENT,
        "qk_rope_head_dim": ROTARY,
        "qk_nope_head_dim": NOPE,
        "v_head_dim": VALUE,
        "intermediate_size": FEED_FORWARD,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": TOKENS_MAX,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "attention_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "pad_token_id": PADDING,
    }
    (out_dir / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    write_model("tiny_deepseek", __doc__.splitlines()[0], make_weights, write_config)
