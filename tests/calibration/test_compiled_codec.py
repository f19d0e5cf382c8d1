"""The compiled codec against the reference in PyTorch: the same calibration file, the same KV, there and back."""

import pathlib
import shutil
import subprocess
import sysconfig

import numpy as np
import pytest
import torch

from shadowserve.calibration import peer_quantizers, reference_quantizer
from shadowserve.calibration.calibration_file import write_calibration

CHUNK = 64
CHUNKS = 3


@pytest.fixture(scope="module")
def command() -> str:
    beside = pathlib.Path(sysconfig.get_path("scripts")) / "shadowserve"
    found = str(beside) if beside.exists() else shutil.which("shadowserve")
    assert found, "install this project: its command is what is tested here"
    return found


@pytest.fixture
def kv(calibration) -> torch.Tensor:
    """bfloat16 [2, 2, tokens, 16], somewhat like the calibration expects it, with a few values far out."""
    generator = torch.Generator().manual_seed(3)
    shape = (calibration.layers, 2, CHUNKS * CHUNK, calibration.channels)
    values = torch.randn(shape, generator=generator) + calibration.means.float()[:, :, None]
    values[0, 0, 70, 3], values[1, 1, 100, 5] = 500.0, -500.0
    return values.to(torch.bfloat16)


def round_trip(command, tmp_path, calibration, kv, point: str) -> tuple[torch.Tensor, int]:
    """What a fetch would deliver, and the bytes of its records."""
    (tmp_path / "model.cal").write_bytes(write_calibration(calibration))
    (tmp_path / "kv.bin").write_bytes(kv.view(torch.int16).numpy().tobytes())
    layers, _, tokens, _ = kv.shape
    shape = f"{layers}x2x{tokens}x{calibration.kv_heads}x{calibration.head_dim}"
    subprocess.run(
        [command, "codec", "roundtrip", "kv.bin", "back.bin", "--shape", shape, "--dtype", "bf16", "--profile", point,
         "--calibration", "model.cal", "--chunk-tokens", str(CHUNK), "--records", "records"],
        cwd=tmp_path, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    back = torch.from_numpy(np.fromfile(tmp_path / "back.bin", dtype=np.int16)).view(torch.bfloat16)
    return back.reshape(kv.shape), sum(record.stat().st_size for record in (tmp_path / "records").iterdir())


def by_reference(calibration, kv, point: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, and which values are kept as they were."""
    number, pieces, kept = calibration.point_number(point), [], []
    for begin in range(0, kv.shape[2], CHUNK):
        chunk = reference_quantizer.quantize(calibration, number, kv[:, :, begin : begin + CHUNK], begin)
        pieces.append(reference_quantizer.dequantize(calibration, chunk))
        kept.append(chunk.patched | torch.from_numpy(chunk.kept == reference_quantizer.KEPT_EXACT)[:, None, :, None])
    return torch.cat(pieces, dim=2), torch.cat(kept, dim=2)


@pytest.mark.parametrize("point", ["near", "far"])
def test_both_give_the_same_values(command, tmp_path, calibration, kv, point):
    back, _ = round_trip(command, tmp_path, calibration, kv, point)
    expected, kept = by_reference(calibration, kv, point)
    assert torch.equal(back[kept], kv[kept]) and kept.sum() >= 3
    # Angles are of different precision: a rounded element may differ by its last bit, a number of steps where it was
    # between two.
    difference = (back.float() - expected.float()).abs()
    last_bit = expected.float().abs() / 128 + 1e-6
    assert (difference > last_bit).float().mean() < 0.002
    steps = calibration.steps(calibration.point_number(point))[:, :, None]
    assert (difference <= 1.5 * steps.amax() + last_bit).all()


def test_at_another_position_the_values_are_others(command, tmp_path, calibration, kv):
    back, _ = round_trip(command, tmp_path, calibration, kv, "near")
    shifted, _ = by_reference(calibration, kv[:, :, CHUNK:], "near")  # as if the second chunk were the first
    difference = (back[0, 0, CHUNK:].float() - shifted[0, 0].float()).abs()
    assert (difference > 0.02).float().mean() > 0.05


def test_a_finer_point_takes_more_bytes(command, tmp_path, calibration, kv):
    sizes = []
    for point in ("near", "far"):
        (tmp_path / point).mkdir()
        sizes.append(round_trip(command, tmp_path / point, calibration, kv, point)[1])
    assert sizes[0] > sizes[1]


def test_generic_loses_and_takes_as_much_in_both(command, tmp_path):
    """Sinks, steps and levels are the same; a step may differ by the last bit of its scale."""
    generator = torch.Generator().manual_seed(9)
    kv = torch.randn(2, 2, 512, 128, generator=generator)
    kv[:, 0] *= torch.linspace(0.1, 8, 128)
    kv[:, 0, :, 3] = 0.0  # a channel that never changes
    kv[:, 1, 77] *= 0.2  # a sink
    kv = kv.to(torch.bfloat16)
    kv.view(torch.int16).numpy().tofile(tmp_path / "kv.bin")
    subprocess.run(
        [command, "codec", "roundtrip", "kv.bin", "back.bin", "--shape", "2x2x512x1x128", "--dtype", "bf16",
         "--profile", "generic", "--records", "records"],
        cwd=tmp_path, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    back = torch.from_numpy(np.fromfile(tmp_path / "back.bin", dtype=np.int16)).view(torch.bfloat16).reshape(kv.shape)
    expected, size = peer_quantizers.uncalibrated(kv.float(), 1, 128)
    mine, theirs = ((values.float() - kv.float()).pow(2).mean((1, 2, 3)).sqrt() for values in (back, expected))
    assert torch.allclose(mine, theirs, rtol=0.02)
    assert torch.equal(back[:, :, 0], kv[:, :, 0])
    assert ((back - kv)[:, :, 77].abs() <= kv[:, :, 77].abs().amax() / 127).all(), "a sink is kept in eight bits"
    record_bits = 8 * sum(record.stat().st_size for record in (tmp_path / "records").iterdir())
    assert 1.0 < record_bits / size.total < 1.06, "a real coder needs a little more"
