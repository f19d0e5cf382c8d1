"""Keys are un-rotated for every kind of RoPE we say we support, on models of transformers; others are refused."""

import pytest
import torch
import transformers
from tiny_models import VOCABULARY, tiny_llama

from shadowserve.calibration.language_model import LanguageModel
from shadowserve.calibration.rotary import HALVES, NEIGHBOURS, Rotation, UnknownRotation, rotate_kv

pytestmark = pytest.mark.quick

SIZES = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
         "pad_token_id": 0}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def gemma3():
    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    config = transformers.Gemma3TextConfig(
        **SIZES, num_attention_heads=4, num_key_value_heads=1, head_dim=32, sliding_window=64, layer_types=kinds)
    return transformers.Gemma3ForCausalLM(config)


def phi():
    config = transformers.PhiConfig(**SIZES, num_attention_heads=4, partial_rotary_factor=0.5)
    return transformers.PhiForCausalLM(config)


def glm():
    config = transformers.GlmConfig(
        **SIZES, num_attention_heads=4, num_key_value_heads=2, head_dim=16, partial_rotary_factor=0.5)
    return transformers.GlmForCausalLM(config)


def gpt2():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4))


MODELS = {
    "plain": tiny_llama,
    "llama3": lambda: tiny_llama(rope_parameters=LLAMA3),
    "yarn": lambda: tiny_llama(rope_parameters=YARN),
    "linear": lambda: tiny_llama(rope_parameters=LINEAR),
    "partial": phi,
    "partial, neighbours": glm,
    "two bases": gemma3,
}


def worst_spread(keys: torch.Tensor) -> float:
    """How far the keys [tokens, C] of one token at different positions are apart, against their size."""
    return float((keys - keys[:1]).abs().max() / keys.abs().max())


@pytest.mark.parametrize("name", MODELS)
def test_the_first_layer_forgets_positions(name):
    torch.manual_seed(2)
    model = LanguageModel(MODELS[name]())
    assert all(model.rotations)
    # In layer 0 a key depends on its token alone, once its position is undone.
    kv = model.prefix_kv(torch.full((200,), 7))
    assert worst_spread(model.unrotated(kv)[0, 0]) < 0.02
    assert worst_spread(kv[0, 0]) > 0.2
    again = rotate_kv(model.unrotated(kv), model.rotations, model.kv_heads)
    assert torch.allclose(again, kv, atol=1e-5 * float(kv.abs().max()))


def test_layers_of_gemma_have_their_own_bases():
    model = LanguageModel(gemma3())
    local, _, full = model.rotations
    assert local.inverse_frequencies[1] > full.inverse_frequencies[1]


def test_pairing_and_parts_are_found():
    assert LanguageModel(tiny_llama()).rotations[0].pairing == HALVES
    rotation = LanguageModel(glm()).rotations[0]
    assert (rotation.pairing, rotation.rotary_dim) == (NEIGHBOURS, 8)
    assert LanguageModel(phi()).rotations[0].rotary_dim == 8


def test_models_without_rope_are_left_alone():
    model = LanguageModel(gpt2())
    kv = model.prefix_kv(torch.arange(30))
    assert model.rotations == [None, None]
    assert torch.equal(model.unrotated(kv), kv)


def test_angles_that_move_are_refused():
    moving = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    with pytest.raises(UnknownRotation, match="'dynamic'"):
        LanguageModel(tiny_llama(rope_parameters=moving))


def test_a_rotation_we_do_not_understand_is_refused(monkeypatch):
    from transformers.models.llama import modeling_llama

    original = modeling_llama.apply_rotary_pos_emb
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", lambda q, k, cos, sin: original(q, k, sin, cos))
    with pytest.raises(UnknownRotation, match="layer 0"):
        LanguageModel(tiny_llama())


def test_the_wrong_pairing_would_be_noticed():
    model = LanguageModel(tiny_llama())
    kv = model.prefix_kv(torch.full((200,), 7))
    wrong = [Rotation(r.inverse_frequencies, NEIGHBOURS) for r in model.rotations]
    assert worst_spread(rotate_kv(kv, wrong, model.kv_heads, backwards=True)[0, 0]) > 0.2
