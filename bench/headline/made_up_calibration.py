"""A calibration for weights that mean nothing, with records as small as a trained model's.

`shadowserve calibrate` measures how much each channel matters to what a model says. A model of random weights says nothing, but
its KV takes time to fetch, decode and place like any other: channels of normal values, whose steps are chosen such that they
code to as many bits a value as those of Gemma 3 270M in docs/results/quality.md, with classes and tables of their own.
"""

import math
from types import SimpleNamespace

import torch
from shapes import EPSILON, ROPE_THETA, head_dim

from shadowserve.calibration.calibration_file import write_calibration
from shadowserve.calibration.fitting import EXPECTED_KL, fit
from shadowserve.calibration.rotary import HALVES, Rotation
from shadowserve.calibration.sensitivity import Measured

# vLLM's dummy weights, those of norms as well, are uniform between -0.001 and 0.001.
WEIGHT_VARIANCE = 1e-6 / 3
TOKENS = 384
# Steps in standard deviations of a channel: `balanced` then comes to 8.3 times fewer bytes, and `near` to 6.5.
STEPS, SPREAD = 1.28, 0.5  # the middle one; of the logarithm among channels


def standard_deviation(hidden: int) -> float:
    """Of keys and values: embeddings, normed, times the norm's weights, times a projection; residuals add next to nothing."""
    normed = WEIGHT_VARIANCE / (WEIGHT_VARIANCE + EPSILON)
    return math.sqrt(hidden * normed) * WEIGHT_VARIANCE


def made_up_calibration(shape: dict) -> bytes:
    """The file, for one of shapes.py's models. Seconds."""
    layers, kv_heads, width = shape["layers"], shape["kv_heads"], head_dim(shape)
    channels = kv_heads * width
    source = torch.Generator().manual_seed(1)
    deviation = standard_deviation(shape["hidden"])
    samples = (torch.randn(layers, 2, TOKENS, channels, generator=source) * deviation).to(torch.bfloat16)
    # Steps are scalar / sqrt(sensitivity); the scalar of a point follows from the KL it may cost.
    scalar = math.sqrt(24 * EXPECTED_KL["balanced"] / (TOKENS * layers * 2 * channels))
    steps = STEPS * deviation * torch.exp(SPREAD * torch.randn(layers, 2, channels, generator=source))
    inverse_frequencies = tuple(ROPE_THETA ** (-2 * pair / width) for pair in range(width // 2))
    model = SimpleNamespace(
        layers=layers, kv_heads=kv_heads, head_dim=width, channels=channels, element=torch.bfloat16,
        rotations=[Rotation(inverse_frequencies, HALVES)] * layers,
    )  # fmt: skip
    measured = Measured(
        sink_keys=torch.nn.functional.normalize(torch.randn(layers, channels, generator=source), dim=-1),
        means=torch.zeros(layers, 2, channels),
        fisher=(scalar / steps) ** 2,
        samples=[samples],
        sinks=[torch.zeros(layers, TOKENS, dtype=torch.bool)],
    )
    return write_calibration(fit(model, measured, bytes(32)))
