"""Writes tiny.cal and the seeds of the calibration fuzzer: files small enough to be read by eye.

    .venv/bin/python tests/golden/write_calibration.py

Files that exist are left alone: they are the promise that old calibrations stay readable. Every value is exact in its
type, so that src/codec/calibrated/calibration_test.cc can say what it must be.
"""

import pathlib

import numpy as np
import torch

from shadowserve.calibration.calibrated_model import NO_TABLE, Calibration, Point
from shadowserve.calibration.calibration_file import write_calibration
from shadowserve.calibration.channel_classes import CLASSES_MAX
from shadowserve.calibration.frequency_tables import FrequencyTable
from shadowserve.calibration.rotary import HALVES, NEIGHBOURS, Rotation

GOLDEN = pathlib.Path(__file__).parent
SEEDS = GOLDEN.parent / "fuzz/calibration"
BF16, FP16 = 1, 2

NEAR, BALANCED, FAR = Point("near", 0.25, 2.0**-10), Point("balanced", 0.5, 2.0**-7), Point("far", 1.5, 2.0**-4)
PARTIAL = Rotation((1.0, 0.25, 0.0625, 0.015625), HALVES)
PAIRS = Rotation((3.0, -1.5, 0.75, 0.375, 0.1875, 0.09375, 0.046875, 0.0234375), NEIGHBOURS)
NARROW, WIDE = FrequencyTable(128, (127, 1)), FrequencyTable(113, (4,) * 32)
TABLES = [NARROW, FrequencyTable(127, (24, 79, 24, 1)), FrequencyTable(125, (6, 16, 24, 35, 24, 16, 6, 1)), WIDE]


def calibration(
    layers: int = 2,
    kv_heads: int = 2,
    head_dim: int = 16,
    element: int = BF16,
    points: tuple[Point, ...] = (NEAR, BALANCED, FAR),
    rotations: tuple[Rotation | None, ...] = (PARTIAL, PAIRS),
    tables: tuple[FrequencyTable, ...] = tuple(TABLES),
    classes: int = 3,
) -> Calibration:
    """Values follow from their place: index i in [L][2][C] or [L][C], number n of a class, point p."""
    planes = (layers, 2, kv_heads * head_dim)
    i = np.arange(np.prod(planes)).reshape(planes)
    class_tables = np.full((layers, 2, len(points), CLASSES_MAX), NO_TABLE, dtype=np.uint8)
    n, p = np.arange(classes), np.arange(len(points))
    class_tables[..., :classes] = (n[None, :] + p[::-1, None]) % len(tables)  # farther points have narrower tables
    return Calibration(
        fingerprint=bytes(range(32)), layers=layers, kv_heads=kv_heads, head_dim=head_dim, element=element,
        tokens_a_sink=16, points=list(points), rotations=list(rotations), tables=list(tables),
        class_tables=class_tables,
        classes=(i * 5 % classes).astype(np.uint8),
        base_steps=torch.from_numpy((128 + i % 128) / 1024.0).to(torch.bfloat16),
        means=torch.from_numpy((i % 128 - 64) / 16.0).to(torch.bfloat16),
        sink_keys=(np.arange(i.size // 2).reshape(layers, -1) * 7 % 255 - 127).astype(np.int8),
    )  # fmt: skip


FILES = {
    GOLDEN / "tiny.cal": calibration(),
    SEEDS / "two-rotations.bin": calibration(element=FP16),
    SEEDS / "not-rotated.bin": calibration(layers=1, rotations=(None,), tables=(WIDE,), classes=1),
    SEEDS / "least.bin": calibration(1, 1, 1, points=(FAR,), rotations=(None,), tables=(NARROW,), classes=1),
    SEEDS / "most-points.bin": calibration(
        kv_heads=1, head_dim=8, points=tuple(Point(f"p{i}", 0.5 + i, 0.0) for i in range(8)), rotations=(None, PARTIAL),
    ),
    SEEDS / "most-classes.bin": calibration(layers=3, rotations=(PAIRS, None, PAIRS), classes=CLASSES_MAX),
}  # fmt: skip


def main() -> None:
    for path, content in FILES.items():
        if not path.exists():
            path.write_bytes(write_calibration(content))
            print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
