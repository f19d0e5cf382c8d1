"""Turns what was measured into a calibration: base steps, scalars of the named points, channel classes and tables."""

import math

import numpy as np
import torch

from shadowserve.calibration.calibrated_model import (
    NO_TABLE,
    STEPS_MAX,
    ZERO_SYMBOL,
    Calibration,
    Point,
)
from shadowserve.calibration.channel_classes import CLASSES_MAX, channel_histograms, classes_of
from shadowserve.calibration.frequency_tables import shared_tables
from shadowserve.calibration.language_model import ELEMENTS, LanguageModel
from shadowserve.calibration.sensitivity import TOKENS_A_SINK, Measured

# The KL each point may cost, as sensitivities foretell it; the middle one decides which channels share a table.
EXPECTED_KL = {"near": 0.0017, "balanced": 0.0039, "far": 0.0118}
REFERENCE = 1
TABLES = 64
# No channel is so unimportant that its steps are wider than this many of its plane's usual ones.
STEP_RANGE = 2.0**12


def fit(model: LanguageModel, measured: Measured, fingerprint: bytes) -> Calibration:
    base_steps = _base_steps(measured.fisher).to(torch.bfloat16)
    calibration = Calibration(
        fingerprint=fingerprint,
        layers=model.layers,
        kv_heads=model.kv_heads,
        head_dim=model.head_dim,
        element=ELEMENTS[model.element],
        tokens_a_sink=TOKENS_A_SINK,
        points=[Point(name, _scalar(measured, kl), kl) for name, kl in EXPECTED_KL.items()],
        rotations=model.rotations,
        tables=[],
        class_tables=np.full((model.layers, 2, len(EXPECTED_KL), CLASSES_MAX), NO_TABLE, dtype=np.uint8),
        classes=np.zeros((model.layers, 2, model.channels), dtype=np.uint8),
        base_steps=base_steps,
        means=measured.means.to(torch.bfloat16),
        sink_keys=_directions(measured.sink_keys),
    )
    _fit_tables(calibration, measured)
    return calibration


def _base_steps(fisher: torch.Tensor) -> torch.Tensor:
    """1 / sqrt(Fisher): every channel then adds the same to the KL."""
    usual = fisher.mean(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return fisher.clamp_min(0).maximum(usual / STEP_RANGE**2).rsqrt()


def _scalar(measured: Measured, expected_kl: float) -> float:
    """KL = 1/2 x sum of Fisher x squared error over all values of a prefix; the error is step^2 / 12 everywhere."""
    tokens = np.mean([sample.shape[2] for sample in measured.samples])
    return float(np.float32(math.sqrt(24 * expected_kl / (tokens * measured.fisher.numel()))))


def _directions(sink_keys: torch.Tensor) -> np.ndarray:
    largest = sink_keys.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    return torch.round(sink_keys / largest * 127).to(torch.int8).numpy()


def _fit_tables(calibration: Calibration, measured: Measured) -> None:
    """Chooses the classes at the reference point, then tables for all classes of all points together."""
    histograms, places = [], []
    steps = [calibration.steps(point) for point in range(len(calibration.points))]
    for layer, plane in np.ndindex(calibration.layers, 2):
        values = torch.cat([s[layer, plane][~k[layer]] for s, k in zip(measured.samples, measured.sinks)]).float()
        values -= calibration.means[layer, plane].float()
        counts = [channel_histograms(_symbols(values, step[layer, plane])) for step in steps]
        classes = classes_of(counts[REFERENCE])
        calibration.classes[layer, plane] = classes
        for point, number in np.ndindex(len(steps), int(classes.max()) + 1):
            histograms.append(counts[point][classes == number].sum(0))
            places.append((layer, plane, point, number))
    calibration.tables, chosen = shared_tables(np.array(histograms, dtype=np.float64), TABLES)
    for place, table in zip(places, chosen):
        calibration.class_tables[place] = table


def _symbols(centred: torch.Tensor, steps: torch.Tensor) -> np.ndarray:
    numbers = torch.round(centred / steps).clamp(-STEPS_MAX, STEPS_MAX)
    return (numbers + ZERO_SYMBOL).to(torch.uint8).numpy()
