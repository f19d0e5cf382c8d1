"""Makes a small Llama with random weights whose output depends on every token of its KV cache.

    python tools/models/tiny_llama.py OUT_DIR [--seed N]

55.6 million parameters, 8,192 bytes of bfloat16 KV per token: 4,096 tokens make 33.6 MB. It speaks no language; it is
there to test and time a KV cache. Weights that are too small (such as vLLM's load_format=dummy) would make attention
an even average, and a damaged cache would change nothing; here a few tokens of the context win each head's attention.
"""

import argparse
import itertools
import json
import math
import pathlib
from collections.abc import Callable

import numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from bf16_safetensors import to_bf16_bits, write_weights

LAYERS = 8
HIDDEN = 512
HEADS = 8
KV_HEADS = 4
HEAD_DIM = 64
FEED_FORWARD = 3328
VOCABULARY = 8192
TOKENS_MAX = 16384
ROPE_THETA = 10000.0

# Attention scores are normal with a standard deviation of about QUERY_KEY_GAIN squared: at 1.7 the best few of 4,096
# tokens hold most of the weight, at 1.0 some 1,500 would share it.
QUERY_KEY_GAIN = 1.7
# Logits this wide keep the best token clear of rounding noise.
LOGIT_GAIN = 2.0

SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<pad>"]
UNKNOWN, BEGIN, END, PADDING = range(4)

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def matrices(seed: int) -> Callable[..., numpy.ndarray]:
    """Returns what draws one matrix after the other: (rows, columns, gain), bfloat16 bit patterns, whose rows keep the size of what they multiply, times `gain`."""
    random = numpy.random.Generator(numpy.random.PCG64(seed))

    def matrix(rows: int, columns: int, gain: float = 1.0) -> numpy.ndarray:
        deviation = numpy.float32(gain / math.sqrt(columns))
        return to_bf16_bits(random.standard_normal((rows, columns), dtype=numpy.float32) * deviation)

    return matrix


def ones(count: int) -> numpy.ndarray:
    return to_bf16_bits(numpy.ones(count, dtype=numpy.float32))


def make_weights(seed: int) -> dict[str, numpy.ndarray]:
    """Returns bfloat16 bit patterns by the names that Llama checkpoints use; one seed, one result."""
    matrix = matrices(seed)
    norm = ones(HIDDEN)
    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN, gain=math.sqrt(HIDDEN))}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        weights |= {
            prefix + "self_attn.q_proj.weight": matrix(HEADS * HEAD_DIM, HIDDEN, QUERY_KEY_GAIN),
            prefix + "self_attn.k_proj.weight": matrix(KV_HEADS * HEAD_DIM, HIDDEN, QUERY_KEY_GAIN),
            prefix + "self_attn.v_proj.weight": matrix(KV_HEADS * HEAD_DIM, HIDDEN),
            prefix + "self_attn.o_proj.weight": matrix(HIDDEN, HEADS * HEAD_DIM),
            prefix + "mlp.gate_proj.weight": matrix(FEED_FORWARD, HIDDEN),
            prefix + "mlp.up_proj.weight": matrix(FEED_FORWARD, HIDDEN),
            prefix + "mlp.down_proj.weight": matrix(HIDDEN, FEED_FORWARD),
            prefix + "input_layernorm.weight": norm,
            prefix + "post_attention_layernorm.weight": norm,
        }
    weights["model.norm.weight"] = norm
    weights["lm_head.weight"] = matrix(VOCABULARY, HIDDEN, LOGIT_GAIN)
    return weights


def make_words() -> list[str]:
    """Returns the vocabulary: the special tokens, then words of three syllables, so that texts can be read and typed."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    words = ("".join(parts) for parts in itertools.product(syllables[::3], syllables, syllables[::5]))
    return SPECIAL_TOKENS + list(itertools.islice(words, VOCABULARY - len(SPECIAL_TOKENS)))


def write_tokenizer(out_dir: pathlib.Path) -> None:
    words = make_words()
    assert len(set(words)) == VOCABULARY
    model = models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[UNKNOWN])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    tokenizer.save(str(out_dir / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": words[UNKNOWN],
        "bos_token": words[BEGIN],
        "eos_token": words[END],
        "pad_token": words[PADDING],
        "model_max_length": TOKENS_MAX,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (out_dir / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def write_config(out_dir: pathlib.Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "num_hidden_layers": LAYERS,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "intermediate_size": FEED_FORWARD,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": TOKENS_MAX,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "pad_token_id": PADDING,
    }
    (out_dir / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_model(
    name: str, summary: str, make_weights: Callable[[int], dict[str, numpy.ndarray]], write_config: Callable[[pathlib.Path], None]
) -> None:
    """The command of a script that makes a model with this vocabulary."""
    arguments = argparse.ArgumentParser(description=summary)
    arguments.add_argument("out_dir", type=pathlib.Path)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    chosen.out_dir.mkdir(parents=True, exist_ok=True)
    print(f"{name}: drawing the weights from seed {chosen.seed} ...", flush=True)
    weights = make_weights(chosen.seed)
    write_weights(chosen.out_dir / "model.safetensors", weights)
    write_tokenizer(chosen.out_dir)
    write_config(chosen.out_dir)
    parameters = sum(bits.size for bits in weights.values())
    print(f"{name}: {parameters / 1e6:.1f} million parameters in {chosen.out_dir}")


if __name__ == "__main__":
    write_model("tiny_llama", __doc__.splitlines()[0], make_weights, write_config)
