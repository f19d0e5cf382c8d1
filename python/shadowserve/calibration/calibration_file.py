"""Writes calibrations to bytes and reads them back; docs/formats/calibration-v1.md is the same in words."""

import hashlib
import struct

import numpy as np
import torch

from shadowserve.calibration.calibrated_model import NO_ROTATION, NO_TABLE, TABLES_MAX, Calibration, Point
from shadowserve.calibration.channel_classes import CLASSES_MAX
from shadowserve.calibration.frequency_tables import ENTRIES_MAX, FrequencyTable
from shadowserve.calibration.rotary import HALVES, NEIGHBOURS, Rotation

MAGIC = b"SSKVCAL\n"
VERSION = 1
# magic, version, flags, file bytes, layers, heads, head_dim, element, points, rotations, classes_max, tables, tokens a
# sink, fingerprint
HEADER = struct.Struct("<8sHHIIIIBBBBHH32s")
POINT = struct.Struct("<16sff")
ROTATION = struct.Struct("<BBH")
TABLE = struct.Struct("<BBH32s")
HASH_BYTES = 32
# As src/contract/limits.h: bounds for everything that is multiplied.
LAYERS_MAX = KV_HEADS_MAX = HEAD_DIM_MAX = 1024
FILE_BYTES_MAX = 2 << 20
POINTS_MAX = ROTATIONS_MAX = 8
STEP_BITS_MAX = 0x7B00  # bfloat16 magnitudes below 2^119, as in records


class CalibrationFileError(ValueError):
    """The file cannot be used; the sentence says which file and why."""


def calibration_hash(data: bytes) -> bytes:
    """What tells calibrations apart, 32 bytes: the last of a file that read_calibration() takes."""
    return data[-HASH_BYTES:]


def write_calibration(calibration: Calibration) -> bytes:
    """Raises CalibrationFileError for a calibration that would be no valid file."""
    rotations = list(dict.fromkeys(rotation for rotation in calibration.rotations if rotation is not None))
    numbers = [NO_ROTATION if r is None else rotations.index(r) for r in calibration.rotations]
    body = b"".join(
        [
            *(POINT.pack(p.name.encode(), p.scalar, p.expected_kl) for p in calibration.points),
            *(_rotation_bytes(rotation) for rotation in rotations),
            bytes(numbers),
            *(_table_bytes(table) for table in calibration.tables),
            calibration.class_tables.tobytes(),
            calibration.classes.tobytes(),
            _bf16_bytes(calibration.base_steps),
            _bf16_bytes(calibration.means),
            calibration.sink_keys.tobytes(),
        ]
    )
    header = HEADER.pack(
        MAGIC, VERSION, 0, HEADER.size + len(body) + HASH_BYTES, calibration.layers, calibration.kv_heads,
        calibration.head_dim, calibration.element, len(calibration.points), len(rotations), CLASSES_MAX,
        len(calibration.tables), calibration.tokens_a_sink, calibration.fingerprint,
    )  # fmt: skip
    data = header + body + hashlib.sha256(header + body).digest()
    read_calibration(data, "the calibration")
    return data


def read_calibration(data: bytes, name: str) -> Calibration:
    """The calibration in `data`, every byte of it checked. Raises CalibrationFileError that begins with `name`."""
    try:
        return _read(data)
    except CalibrationFileError as error:
        raise CalibrationFileError(f"{name}: {error}") from None


def load_calibration(path: str) -> Calibration:
    """Raises CalibrationFileError, or OSError when there is no such file."""
    with open(path, "rb") as file:
        return read_calibration(file.read(FILE_BYTES_MAX + 1), path)


class _Bytes:
    """Takes a file apart from its front; the file's size was not believed."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise CalibrationFileError("ends before its tables do")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, record: struct.Struct) -> tuple:
        return record.unpack(self.take(record.size))

    def array(self, kind: str, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        return np.frombuffer(self.take(count * np.dtype(kind).itemsize), dtype=kind).reshape(shape).copy()


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise CalibrationFileError(sentence)


def _read(data: bytes) -> Calibration:
    _require(len(data) >= HEADER.size + HASH_BYTES and data[: len(MAGIC)] == MAGIC, "is no calibration file")
    (_, version, flags, file_bytes, layers, kv_heads, head_dim, element, points, rotations, classes_max, tables,
     tokens_a_sink, fingerprint) = HEADER.unpack_from(data)  # fmt: skip
    _require(version == VERSION, f"is a calibration of version {version}; this build reads version {VERSION}")
    _require(file_bytes == len(data), f"says it has {file_bytes} bytes and has {len(data)}")
    _require(hashlib.sha256(data[:-HASH_BYTES]).digest() == data[-HASH_BYTES:], "is damaged: its SHA-256 is another")
    _require(flags == 0, f"has flags this build does not know ({flags:#x})")
    _require(1 <= layers <= LAYERS_MAX and 1 <= kv_heads <= KV_HEADS_MAX and 1 <= head_dim <= HEAD_DIM_MAX, "geometry")
    _require(element in (1, 2), f"element {element}")
    _require(1 <= points <= POINTS_MAX and rotations <= ROTATIONS_MAX and 1 <= tables <= TABLES_MAX, "counts")
    _require(classes_max == CLASSES_MAX and tokens_a_sink >= 2, "counts of classes or sinks")
    left = _Bytes(data[HEADER.size : -HASH_BYTES])
    channels = kv_heads * head_dim
    calibration = Calibration(
        fingerprint, layers, kv_heads, head_dim, element, tokens_a_sink,
        points=[_point(*left.unpack(POINT)) for _ in range(points)],
        rotations=_layer_rotations([_rotation(left, head_dim) for _ in range(rotations)], left.take(layers)),
        tables=[_table(*left.unpack(TABLE)) for _ in range(tables)],
        class_tables=left.array("u1", layers, 2, points, CLASSES_MAX),
        classes=left.array("u1", layers, 2, channels),
        base_steps=_bf16(left.array("<u2", layers, 2, channels), "base step", negative=False),
        means=_bf16(left.array("<u2", layers, 2, channels), "mean", negative=True),
        sink_keys=left.array("i1", layers, channels),
    )  # fmt: skip
    _require(left.at == len(left.data), "has bytes behind its end")
    _check_numbers(calibration)
    return calibration


def _check_numbers(calibration: Calibration) -> None:
    """Everything that is looked up is there."""
    known = (calibration.class_tables < len(calibration.tables)) | (calibration.class_tables == NO_TABLE)
    _require(bool(known.all()), "a class has a table that is not there")
    _require(bool((calibration.classes < CLASSES_MAX).all()), f"a channel has a class of {CLASSES_MAX} or more")
    points = len(calibration.points)
    looked_up = np.take_along_axis(calibration.class_tables, calibration.classes[:, :, None].repeat(points, 2), axis=3)
    _require(bool((looked_up != NO_TABLE).all()), "a channel's class has no table")
    _require(len({point.name for point in calibration.points}) == points, "two points have one name")
    for point in range(points):
        steps = calibration.steps(point)
        _require(bool((steps > 0).all() and (steps < 2.0**119).all()), "steps of zero or beyond 2^119")


def _point(name: bytes, scalar: float, expected_kl: float) -> Point:
    text = name.rstrip(b"\0")
    _require(text.isalnum() and text.isascii(), "a point without a name")
    _require(0 < scalar < 1e30 and 0 <= expected_kl < 1e30, f"point {text.decode()} has no finite scalar")
    return Point(text.decode(), scalar, expected_kl)


def _rotation(left: _Bytes, head_dim: int) -> Rotation:
    pairing, reserved, rotary_dim = left.unpack(ROTATION)
    _require(pairing in (HALVES, NEIGHBOURS) and reserved == 0, f"keys paired in the unknown way {pairing}")
    _require(0 < rotary_dim <= head_dim and rotary_dim % 2 == 0, f"{rotary_dim} of {head_dim} channels turned")
    frequencies = left.array("<f4", rotary_dim // 2)
    _require(bool((np.abs(frequencies) <= np.pi).all()), "keys turned by more than half a circle a position")
    return Rotation(tuple(frequencies.tolist()), pairing)


def _rotation_bytes(rotation: Rotation) -> bytes:
    frequencies = np.array(rotation.inverse_frequencies, dtype="<f4").tobytes()
    return ROTATION.pack(rotation.pairing, 0, rotation.rotary_dim) + frequencies


def _layer_rotations(rotations: list[Rotation], numbers: bytes) -> list[Rotation | None]:
    _require(all(n < len(rotations) or n == NO_ROTATION for n in numbers), "a layer has a rotation that is not there")
    return [None if number == NO_ROTATION else rotations[number] for number in numbers]


def _table(base: int, entries: int, reserved: int, frequencies: bytes) -> FrequencyTable:
    _require(2 <= entries <= ENTRIES_MAX and reserved == 0, f"a table with {entries} entries")
    _require(not any(frequencies[entries:]), "a table with frequencies behind its end")
    table = FrequencyTable(base, tuple(frequencies[:entries]))
    _require(table.problem() is None, f"a table with {table.problem()}")
    return table


def _table_bytes(table: FrequencyTable) -> bytes:
    return TABLE.pack(table.base, len(table.frequencies), 0, bytes(table.frequencies))


def _bf16(bits: np.ndarray, what: str, negative: bool) -> torch.Tensor:
    _require(negative or not (bits & 0x8000).any(), f"a {what} below zero")
    _require(bool(((bits & 0x7FFF) < STEP_BITS_MAX).all()), f"a {what} that is no number below 2^119")
    return torch.from_numpy(bits.astype(np.uint16).view(np.int16)).view(torch.bfloat16)


def _bf16_bytes(values: torch.Tensor) -> bytes:
    return values.contiguous().view(torch.int16).numpy().astype("<i2").tobytes()
