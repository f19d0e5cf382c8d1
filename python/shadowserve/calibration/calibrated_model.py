"""A calibration: everything a codec has to know to save and load one model's KV in few bytes."""

import dataclasses

import numpy as np
import torch

from shadowserve.calibration.channel_classes import CLASSES_MAX
from shadowserve.calibration.frequency_tables import FrequencyTable
from shadowserve.calibration.rotary import Rotation

NO_TABLE = 255
NO_ROTATION = 255
TABLES_MAX = 255
STEPS_MAX = 127  # a symbol is STEPS_MAX + 1 + a number of steps in -STEPS_MAX .. STEPS_MAX
ZERO_SYMBOL = STEPS_MAX + 1


@dataclasses.dataclass(frozen=True)
class Point:
    """A named place on the frontier of bytes and quality: one scalar sets all steps."""

    name: str
    scalar: float  # step of a channel = scalar * its base step
    expected_kl: float  # nats a predicted token behind 1,024, as sensitivities foretell


@dataclasses.dataclass
class Calibration:
    """Shapes: L layers, P points, C = kv_heads * head_dim channels; [L, 2, ...] is K, then V. Keys are un-rotated."""

    fingerprint: bytes  # 32: SHA-256 of the model's weights, as model_fingerprint() gives it
    layers: int
    kv_heads: int
    head_dim: int
    element: int  # 1 bfloat16, 2 float16
    tokens_a_sink: int
    points: list[Point]
    rotations: list[Rotation | None]  # for each layer
    tables: list[FrequencyTable]
    class_tables: np.ndarray  # uint8 [L, 2, P, CLASSES_MAX] number of a table; NO_TABLE for classes that do not exist
    classes: np.ndarray  # uint8 [L, 2, C]
    base_steps: torch.Tensor  # bfloat16 [L, 2, C], above 0
    means: torch.Tensor  # bfloat16 [L, 2, C]
    sink_keys: np.ndarray  # int8 [L, C]: only the direction counts

    @property
    def channels(self) -> int:
        return self.kv_heads * self.head_dim

    def point_number(self, name: str) -> int:
        return [point.name for point in self.points].index(name)

    def steps(self, point: int) -> torch.Tensor:
        """float32 [L, 2, C] that bfloat16 represents: steps have 8 significant bits, so number x step is exact."""
        scalar = torch.tensor(self.points[point].scalar, dtype=torch.float32)
        return (self.base_steps.float() * scalar).to(torch.bfloat16).float()

    def table_bits(self, layer: int, plane: int, point: int) -> np.ndarray:
        """[CLASSES_MAX, 256] bits of each symbol in each class; infinite where there is no such class."""
        bits = np.full((CLASSES_MAX, 256), np.inf)
        for number, table in enumerate(self.class_tables[layer, plane, point]):
            if table != NO_TABLE:
                bits[number] = self.tables[table].bits()
        return bits
