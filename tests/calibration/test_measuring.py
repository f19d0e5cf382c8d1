"""Sensitivities foretell the KL that errors cause, and a calibration of a tiny model goes all the way to its file."""

import math

import pytest
import torch

from shadowserve.calibration import evaluate, fitting, sensitivity
from shadowserve.calibration.builtin_texts import builtin_texts
from shadowserve.calibration.calibration_file import read_calibration, write_calibration
from shadowserve.calibration.rotary import rotate_kv

pytestmark = pytest.mark.quick


def excerpts(pieces: int, prefix: int = 256, suffix: int = 64) -> list[sensitivity.Excerpt]:
    generator = torch.Generator().manual_seed(11)
    tokens = torch.randint(2, 96, (pieces, prefix + suffix), generator=generator)
    tokens[:, 0] = 1
    return [sensitivity.Excerpt(row[:prefix], row[prefix:]) for row in tokens]


@pytest.fixture(scope="module")
def measured(language_model):
    return sensitivity.measure(language_model, excerpts(24))


def test_noise_costs_what_the_sensitivities_say(language_model, measured):
    generator = torch.Generator().manual_seed(12)
    deviation = fitting._base_steps(measured.fisher) * 3e-3
    foretold, found = 0.0, 0.0
    for excerpt in excerpts(8):
        kv = language_model.prefix_kv(excerpt.prefix)
        noise = torch.randn(kv.shape, generator=generator) * deviation[:, :, None]
        noise[:, :, 0] = 0
        spoiled = kv + rotate_kv(noise, language_model.rotations, language_model.kv_heads)
        exact = language_model.suffix_logits(kv, excerpt.suffix).log_softmax(-1)
        got = language_model.suffix_logits(spoiled, excerpt.suffix).log_softmax(-1)
        found += float((exact.exp() * (exact - got)).sum(-1).mean())
        foretold += float((measured.fisher[:, :, None] * noise**2).sum()) / 2
    assert foretold > 1e-4
    assert 0.6 < found / foretold < 1.7


def test_the_scalar_gives_the_kl_it_is_named_for(measured):
    scalar = fitting._scalar(measured, 0.01)
    errors = (scalar * fitting._base_steps(measured.fisher)) ** 2 / 12
    assert float((measured.fisher * errors).sum()) * 255 / 2 == pytest.approx(0.01, rel=0.05)


def test_points_are_ordered_and_keep_what_they_promise(language_model, measured):
    calibration = fitting.fit(language_model, measured, bytes(32))
    assert read_calibration(write_calibration(calibration), "x").layers == 2
    ratios, kls = {}, {}
    quantizers = evaluate.profiles(calibration)
    last = excerpts(30)[29]
    tokens = torch.cat([last.prefix, last.suffix])
    for result in evaluate.measure_text(language_model, quantizers, tokens, 256):
        ratios[result["profile"]], kls[result["profile"]] = result["ratio"], result["kl"]
    assert ratios["near"] < ratios["balanced"] < ratios["far"]
    assert kls["near"] < kls["balanced"] < kls["far"]
    for name, kl in fitting.EXPECTED_KL.items():
        assert kls[name] < 4 * kl
    assert math.isfinite(kls["cachegen"]) and kls["int8"] < kls["near"]


def test_short_and_long_texts_are_cut(language_model):
    class Counting:
        def tokens(self, text):
            return torch.arange(len(text))

    cut = sensitivity.excerpts(Counting(), ["x" * 600, "x" * 50, "x" * 1500], 512, 128)
    assert [(len(e.prefix), len(e.suffix)) for e in cut] == [(480, 120), (512, 128), (512, 128)]


def test_builtin_texts_are_diverse():
    texts = builtin_texts()
    assert len(texts) >= 10 and 30_000 < sum(len(text.encode()) for text in texts) < 100_000
    scripts = {"latin": "a", "cyrillic": "ж", "han": "的", "arabic": "ا", "devanagari": "क", "kana": "の"}
    assert all(any(letter in text for text in texts) for letter in scripts.values())
