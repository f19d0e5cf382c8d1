"""Tiny models with random weights, and a calibration of nothing in particular."""

import numpy as np
import pytest
import torch

from shadowserve.calibration.calibrated_model import NO_TABLE, Calibration, Point
from shadowserve.calibration.channel_classes import CLASSES_MAX
from shadowserve.calibration.frequency_tables import fit_table
from shadowserve.calibration.language_model import LanguageModel
from shadowserve.calibration.rotary import HALVES, Rotation

VOCABULARY = 96


def tiny_llama(seed: int = 1, **changes) -> torch.nn.Module:
    """Two layers, two KV heads of 16, attention that prefers some tokens, logits that depend on them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**config, **changes}))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                gain = 1.7 if "q_proj" in name or "k_proj" in name else 1.0
                weight.normal_(0, 1 if "embed" in name else gain / weight.shape[1] ** 0.5)
    return model


@pytest.fixture(scope="session")
def language_model() -> LanguageModel:
    return LanguageModel(tiny_llama())


@pytest.fixture
def calibration() -> Calibration:
    """Two layers, the first rotated, two KV heads of 8; means and steps differ in every channel."""
    random = np.random.default_rng(5)
    layers, heads, dim, points = 2, 2, 8, 2
    shape = (layers, 2, heads * dim)
    counts = np.round(1000 * np.exp(-np.abs(np.arange(256) - 128) / 3.0))
    class_tables = np.full((layers, 2, points, CLASSES_MAX), NO_TABLE, dtype=np.uint8)
    class_tables[..., :2] = [0, 1]
    return Calibration(
        fingerprint=bytes(range(32)), layers=layers, kv_heads=heads, head_dim=dim, element=1, tokens_a_sink=16,
        points=[Point("near", 3.0, 0.003), Point("far", 9.0, 0.02)],
        rotations=[Rotation((1.0, 0.25, 0.0625), HALVES), None],
        tables=[fit_table(counts), fit_table(np.sqrt(counts))],
        class_tables=class_tables,
        classes=random.integers(0, 2, shape).astype(np.uint8),
        base_steps=torch.from_numpy(random.uniform(0.05, 0.2, shape)).to(torch.bfloat16),
        means=torch.from_numpy(random.normal(0, 1, shape)).to(torch.bfloat16),
        sink_keys=random.integers(-127, 128, (layers, heads * dim)).astype(np.int8),
    )  # fmt: skip
