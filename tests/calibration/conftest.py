"""A tiny model with random weights, and a calibration of nothing in particular."""

import pathlib
import sys

import numpy as np
import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from tiny_models import tiny_llama  # noqa: E402

from shadowserve.calibration.calibrated_model import NO_TABLE, Calibration, Point  # noqa: E402
from shadowserve.calibration.channel_classes import CLASSES_MAX  # noqa: E402
from shadowserve.calibration.frequency_tables import fit_table  # noqa: E402
from shadowserve.calibration.language_model import LanguageModel  # noqa: E402
from shadowserve.calibration.rotary import HALVES, Rotation  # noqa: E402


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
