"""What the quantizer promises: errors of half a step, kept rows, exact wide values, and honest sizes."""

import numpy as np
import pytest
import torch

from shadowserve.calibration.reference_quantizer import KEPT_EXACT, KEPT_INT8, dequantize, quantize, size_of
from shadowserve.calibration.rotary import rotate_kv

pytestmark = pytest.mark.quick

TOKENS = 64


def sample_kv(calibration, seed=1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(calibration.layers, 2, TOKENS, calibration.channels, generator=generator)
    plain = calibration.means.float()[:, :, None] + noise
    return rotate_kv(plain, calibration.rotations, calibration.kv_heads, 256).to(torch.bfloat16).float()


@pytest.mark.parametrize("point", [0, 1])
def test_errors_are_at_most_half_a_step(calibration, point):
    kv = sample_kv(calibration)
    chunk = quantize(calibration, point, kv, 256)
    got = dequantize(calibration, chunk).float()
    error = rotate_kv(got - kv, calibration.rotations, calibration.kv_heads, 256, backwards=True).abs()
    ordinary = torch.from_numpy(chunk.kept == 0)
    allowed = calibration.steps(point)[:, :, None] / 2 + 0.03  # rounding to bfloat16, twice
    for layer in range(calibration.layers):
        assert (error <= allowed)[layer, :, ordinary[layer]].all()
    # A control: half of that is not enough.
    assert (error > allowed / 2).any()


def test_positions_matter(calibration):
    kv = sample_kv(calibration)
    chunk = quantize(calibration, 0, kv, 256)
    chunk.first_position = 257
    moved = dequantize(calibration, chunk).float()
    assert (moved - kv)[0, 0].abs().max() > 0.3 and (moved - kv)[1, 0].abs().max() < 0.3


def test_the_first_token_is_exact_where_the_sequence_begins(calibration):
    kv = sample_kv(calibration)
    first = quantize(calibration, 0, kv, 0)
    assert (first.kept[:, 0] == KEPT_EXACT).all()
    assert torch.equal(dequantize(calibration, first)[:, :, 0].float(), kv[:, :, 0])
    assert not (quantize(calibration, 0, kv, 256).kept == KEPT_EXACT).any()


def test_sinks_are_found_and_kept(calibration):
    kv = sample_kv(calibration)
    plain = rotate_kv(kv, calibration.rotations, calibration.kv_heads, 256, backwards=True)
    plain[:, 0, 40] = torch.from_numpy(calibration.sink_keys.astype(np.float32)) / 30
    kv = rotate_kv(plain, calibration.rotations, calibration.kv_heads, 256)
    chunk = quantize(calibration, 1, kv, 256)
    assert (chunk.kept[:, 40] == KEPT_INT8).all()
    assert ((chunk.kept == KEPT_INT8).sum(1) == TOKENS // calibration.tokens_a_sink).all()
    error = (dequantize(calibration, chunk).float() - kv)[:, :, 40].abs()
    assert (error <= kv[:, :, 40].abs().amax(-1, keepdim=True) * (1 / 254 + 1 / 128)).all()


def test_wide_values_are_exact_and_so_are_their_partners(calibration):
    kv = sample_kv(calibration)
    plain = rotate_kv(kv, calibration.rotations, calibration.kv_heads, 256, backwards=True)
    plain[0, 0, 30, 1] = -1000.0 * np.sign(calibration.sink_keys[0, 1])  # it looks like no sink
    plain[1, 1, 31, 2] = -1000.0
    kv = rotate_kv(plain, calibration.rotations, calibration.kv_heads, 256).to(torch.bfloat16).float()
    chunk = quantize(calibration, 0, kv, 256)
    got = dequantize(calibration, chunk).float()
    assert got[0, 0, 30, 1] == kv[0, 0, 30, 1] and got[0, 0, 30, 4] == kv[0, 0, 30, 4]
    assert got[1, 1, 31, 2] == kv[1, 1, 31, 2]
    assert int(chunk.patched.sum()) == 3
    # A control: without the patches they are lost.
    chunk.patched[:] = False
    assert (dequantize(calibration, chunk).float() - kv)[0, 0, 30].abs().max() > 500


def test_sizes_count_everything(calibration):
    kv = sample_kv(calibration)
    size = size_of(calibration, quantize(calibration, 0, kv, 0))
    assert size.values == kv.numel()
    planes, channels = 4, calibration.channels
    assert size.frames == 8 * (planes * (32 + 256 + 8 + 2 * 8) + 144)
    sinks = (TOKENS // calibration.tokens_a_sink) * planes * (2 + channels + 4)
    assert size.kept_rows == 8 * (sinks + planes * (2 + 2 * channels))
    assert size.patches == 0 and size.total > size.symbols > 2 * kv.numel()
    coarse = size_of(calibration, quantize(calibration, 1, kv, 0))
    assert coarse.symbols < 0.9 * size.symbols
